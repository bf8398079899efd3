#include "pipelines/cli/reward_trial.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <iostream>

#include "engine/core/device.h"
#include "engine/core/error.h"
#include "pipelines/cli/output.h"
#include "pipelines/score/trial.h"
#include "pipelines/score/trial_json.h"
#include "pipelines/stages/reward_lines.h"

namespace fs = std::filesystem;

namespace thalweg::cli {
namespace {

constexpr int64_t kMostBatch = 65536;

std::vector<PictureFile> files_of(const std::vector<std::string>& named) {
  std::vector<PictureFile> files;
  for (const auto& name : named) {
    std::error_code failure;
    if (!fs::exists(name, failure))
      throw Error(name, "there is no such picture or folder (paths are relative to the working directory)");
    if (!fs::is_directory(name, failure)) {
      files.push_back({name, name});
      continue;
    }
    for (auto& file : picture_files(name, name)) {
      file.name = file.path.string();
      files.push_back(std::move(file));
    }
  }
  return files;
}

PromptList prompts_of(const RewardTrial& trial, size_t pictures) {
  if (trial.has_prompt)
    return {std::vector<std::string>(pictures, trial.prompt), std::vector<std::string>(pictures, "{}")};
  if (trial.prompts.empty()) return {};
  auto list = read_prompts({trial.prompts, "--prompts"});
  if (list.prompts.size() != pictures)
    throw Error("--prompts", std::to_string(list.prompts.size()) + " prompts for " +
                                 std::to_string(pictures) +
                                 " pictures: one a picture, in their order, or --prompt TEXT for all");
  return list;
}

std::string number(double value, const char* format = "%.6g") {
  char text[64];
  std::snprintf(text, sizeof(text), format, value);
  return text;
}

std::string counted(int64_t count, const std::string& what) {
  return std::to_string(count) + " " + what + (count == 1 ? "" : "s");
}

// Columns as wide as what they hold.
std::string aligned(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths(rows.front().size(), 0);
  for (const auto& row : rows)
    for (size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], row[c].size());
  std::string text;
  for (const auto& row : rows) {
    for (size_t c = 0; c < row.size(); ++c)
      text += row[c] + (c + 1 < row.size() ? std::string(widths[c] - row[c].size() + 2, ' ') : "\n");
  }
  return text;
}

std::string said_of(const GradientTrial& g) {
  if (!g.finite) return "failed: " + g.problem;
  if (!g.agrees) return "finite; not compared: " + g.problem;
  return std::string("finite, and ") + (*g.agrees ? "agrees" : "DISAGREES") +
         " with differences of the values (" + number(g.slope) + " against " + number(g.difference) +
         " along itself)";
}

std::string table(const std::vector<PictureFile>& files, const TriedRewards& tried) {
  std::vector<std::vector<std::string>> rows = {{"picture"}};
  rows[0].insert(rows[0].end(), tried.names_K.begin(), tried.names_K.end());
  std::string notes;
  for (size_t i = 0; i < files.size(); ++i) {
    const auto& picture = tried.pictures[i];
    auto& row = rows.emplace_back();
    row.push_back(printable(files[i].name, 200));
    for (size_t k = 0; k < tried.names_K.size(); ++k) {
      row.push_back(picture.values_K[k] ? number(*picture.values_K[k]) : "-");
      if (!picture.values_K[k])
        notes += row[0] + ": " + tried.names_K[k] + " is not scored: " + picture.reasons_K[k] + "\n";
    }
  }
  auto text = aligned(rows) + notes;
  for (const auto& calls : tried.calls) {
    text += calls.reward + ": " + counted(calls.calls, "call") + ", the first " +
            number(calls.first_s * 1e3, "%.3g") + " ms";
    if (calls.calls > 1)
      text += ", the others " + number(calls.others_s * 1e3 / static_cast<double>(calls.calls - 1), "%.3g") +
              " ms each";
    text += "\n";
  }
  for (const auto& gradient : tried.gradients)
    text += "gradient of " + gradient.dimension + ": " + said_of(gradient) + "\n";
  return text;
}

}  // namespace

void add_options(CLI::App& command, RewardTrial& trial) {
  command.add_option("file", trial.file, "a job (JSON), or one entry of its \"rewards\"")->required();
  command.add_option("pictures", trial.pictures, "PNG or JPEG files, or folders of them")->required();
  auto* prompt = command.add_option_function<std::string>(
      "--prompt", [&trial](const std::string& text) { trial.prompt = text, trial.has_prompt = true; },
      "what all pictures were drawn for");
  command.add_option("--prompts", trial.prompts, "file of prompts, .txt or .jsonl, one a picture")
      ->excludes(prompt);
  command.add_option("--batch", trial.batch, "pictures of one call, where they have one size")
      ->check(CLI::Range(int64_t{1}, kMostBatch))
      ->capture_default_str();
  command.add_option("--seed", trial.seed, "handed to the rewards")->check(CLI::NonNegativeNumber);
  command.add_option("--device", trial.device, "cpu, cuda or cuda:N, where networks of the rewards run")
      ->capture_default_str();
  command.add_flag("--json", trial.as_json, "as JSON");
}

bool print_rewards(const RewardTrial& trial) {
  if (!is_valid_utf8(trial.prompt)) throw Error("--prompt", "is not valid UTF-8");
  const auto specs = reward_specs_of(trial.file);
  const auto files = files_of(trial.pictures);
  const auto prompts = prompts_of(trial, files.size());
  Observer observer;
  observer.message = [](const std::string& line) { std::cerr << line << "\n"; };
  RewardLines lines(observer);
  const auto tried = try_rewards(specs, files, prompts,
                                 {.batch = trial.batch,
                                  .seed = static_cast<uint64_t>(trial.seed),
                                  .device = device_named(trial.device, "--device"),
                                  .log = lines.log()});
  lines.show();
  print(trial.as_json ? trial_json(files, prompts, tried).dump(2) + "\n" : table(files, tried));
  return std::any_of(tried.pictures.begin(), tried.pictures.end(), [](const auto& picture) {
    return std::any_of(picture.values_K.begin(), picture.values_K.end(),
                       [](const auto& v) { return v.has_value(); });
  });
}

}  // namespace thalweg::cli
