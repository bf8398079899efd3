#include "pipelines/cli/plugin_trial.h"

#include <CLI/CLI.hpp>
#include <algorithm>

#include "engine/core/error.h"
#include "engine/core/json.h"
#include "pipelines/cli/output.h"
#include "pipelines/sections.h"

namespace thalweg::cli {
namespace {

using validator::ClauseResult;
using validator::Outcome;

// Captions of the embedded world, each with a position, so that a verifier finds all that it scores.
const std::vector<std::string> kPrompts = {
    "a red circle left of a blue square", "a green triangle above a yellow circle",
    "a blue square below a red triangle", "a yellow circle right of a green square"};

constexpr int64_t kMostSide = 4096, kMostBatch = 256;

const char* word(Outcome outcome) {
  return outcome == Outcome::ok ? "ok" : outcome == Outcome::failed ? "FAILED" : "skipped";
}

int64_t count(const std::vector<ClauseResult>& results, Outcome outcome) {
  return std::count_if(results.begin(), results.end(),
                       [&](const auto& result) { return result.outcome == outcome; });
}

std::string summary(const std::vector<ClauseResult>& results) {
  return std::to_string(count(results, Outcome::ok)) + " ok, " +
         std::to_string(count(results, Outcome::failed)) + " FAILED, " +
         std::to_string(count(results, Outcome::skipped)) + " skipped";
}

std::string table(const PluginTrial& trial, const std::vector<ClauseResult>& results) {
  size_t widest = 0;
  for (const auto& result : results) widest = std::max(widest, result.clause.size());
  std::string text = trial.file + "\n", reward;
  for (const auto& result : results) {
    if (result.reward != reward) text += result.reward.empty() ? "the library\n" : result.reward + "\n";
    reward = result.reward;
    std::string line = std::string("  ") + word(result.outcome);
    line.resize(11, ' ');
    line += result.clause;
    line.resize(13 + widest, ' ');
    text += line + result.rule + " (" + result.header + ")\n";
    if (!result.detail.empty()) text += std::string(13 + widest, ' ') + result.detail + "\n";
  }
  return text + summary(results) + "\n";
}

Json as_json_object(const PluginTrial& trial, const std::vector<ClauseResult>& results) {
  Json clauses = Json::array();
  for (const auto& result : results) {
    std::string outcome = word(result.outcome);
    std::transform(outcome.begin(), outcome.end(), outcome.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    clauses.push_back({{"reward", result.reward},
                       {"clause", result.clause},
                       {"header", result.header},
                       {"rule", result.rule},
                       {"outcome", outcome},
                       {"detail", result.detail}});
  }
  return {{"file", trial.file},
          {"passed", count(results, Outcome::failed) == 0},
          {"ok", count(results, Outcome::ok)},
          {"failed", count(results, Outcome::failed)},
          {"skipped", count(results, Outcome::skipped)},
          {"clauses", clauses}};
}

}  // namespace

void add_options(CLI::App& command, PluginTrial& trial) {
  auto& o = trial.options;
  auto* validate =
      command.add_option("--validate", trial.file, "try every clause of the plugin ABI on this .so file");
  const auto add = [&](const char* name, auto& value, const char* text) {
    return command.add_option(name, value, text)->needs(validate)->capture_default_str();
  };
  add("--config", o.config, "the plugin's configuration, a JSON object");
  add("--id", o.id, "only this reward of the library");
  add("--prompts", trial.prompts, "file of prompts, .txt or .jsonl; absent: captions of simple scenes");
  add("--batch", o.batch, "samples of a call")->check(CLI::Range(int64_t{2}, kMostBatch));
  add("--frames", o.frames, "frames of a sample")->check(CLI::Range(int64_t{1}, kMostBatch));
  add("--height", o.height, "of the frames")->check(CLI::Range(int64_t{1}, kMostSide));
  add("--width", o.width, "of the frames")->check(CLI::Range(int64_t{1}, kMostSide));
  add("--latent-channels", o.latent_channels, "of the latents")->check(CLI::Range(int64_t{1}, kMostBatch));
  add("--latent-height", o.latent_height, "of the latents")->check(CLI::Range(int64_t{1}, kMostSide));
  add("--latent-width", o.latent_width, "of the latents")->check(CLI::Range(int64_t{1}, kMostSide));
  add("--timeout", o.timeout_s, "seconds that one clause may take")->check(CLI::Range(0.1, 86400.0));
  add("--gradient-tolerance", o.gradient_tolerance, "of finite differences, relative")
      ->check(CLI::Range(1e-6, 1.0));
  add("--value-tolerance", o.value_tolerance, "between a sample alone and in a batch")
      ->check(CLI::Range(0.0, 1.0));
}

bool print_trial(PluginTrial trial, bool as_json) {
  if (!parse_json(trial.options.config, "--config").is_object())
    throw Error("--config", "must be a JSON object");
  trial.options.prompts = kPrompts;
  if (!trial.prompts.empty()) {
    auto list = read_prompts({trial.prompts, "--prompts"});
    if (list.prompts.empty()) throw Error("--prompts", "the file holds no prompt");
    trial.options.prompts = std::move(list.prompts);
    trial.options.metadata = std::move(list.metadata_json);
  }
  const auto results = validator::validate(trial.file, trial.options);
  print(as_json ? as_json_object(trial, results).dump(2) + "\n" : table(trial, results));
  return count(results, Outcome::failed) == 0;
}

}  // namespace thalweg::cli
