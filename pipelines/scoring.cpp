#include "pipelines/scoring.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstdio>

#include "engine/core/error.h"
#include "engine/core/file.h"
#include "engine/core/statistics.h"
#include "pipelines/job.h"
#include "pipelines/stages/evaluation.h"
#include "pipelines/stages/reward_failures.h"
#include "pipelines/stages/reward_lines.h"

namespace thalweg {
namespace {

Json number_or_null(double value, bool valid) {
  return valid ? Json(value) : Json(nullptr);
}

// One line a sample: prompt, file, every dimension (null: not scored), the combined reward.
std::string score_lines(const ScoredRun& run, const RewardBatch& raw, const CombinedReward& total) {
  const auto values = raw.values_BK.accessor<double, 2>();
  const auto valid = raw.valid_BK.accessor<bool, 2>();
  const auto sums = total.total_B.accessor<double, 1>();
  const auto summed = total.valid_B.accessor<bool, 1>();
  std::string lines;
  for (int64_t i = 0; i < raw.batch(); ++i) {
    Json row = {{"index", i},
                {"prompt", run.prompts[static_cast<size_t>(i)]},
                {"reward", number_or_null(sums[i], summed[i])}};
    if (!run.files.empty()) row["file_name"] = run.files[static_cast<size_t>(i)];
    for (int64_t k = 0; k < raw.dimensions(); ++k)
      row[raw.names_K[static_cast<size_t>(k)]] = number_or_null(values[i][k], valid[i][k]);
    lines += row.dump() + "\n";
  }
  return lines;
}

Json mean_of(const at::Tensor& values, const at::Tensor& valid) {
  const auto scored = valid.sum().item<int64_t>();
  return {{"mean", number_or_null(masked_mean(values, valid), scored > 0)},
          {"scored", scored},
          {"not_scored", values.numel() - scored}};
}

}  // namespace

void describe(Fields& f, PromptSection& p) {
  f.texts({"texts", "the prompts themselves"}, p.texts);
  f.text({"path", "file of prompts, .txt (one a line) or .jsonl"}, p.path);
  f.integer({"limit", "first prompts of the file; 0: all"}, p.limit, 0, 100000000);
}

void PromptSection::require() const {
  if (texts.empty() == path.empty()) throw Error("/prompts", "give either texts or path");
  if (!path.empty()) read();
}

PromptList PromptSection::read() const {
  if (!path.empty()) return read_prompts({path, "/prompts/path"}, limit);
  return {texts, std::vector<std::string>(texts.size(), "{}")};
}

void PromptSection::keep_first(int64_t count) {
  if (static_cast<int64_t>(texts.size()) > count) texts.resize(static_cast<size_t>(count));
  if (!path.empty()) limit = limit == 0 ? count : std::min(limit, count);
}

LatentShape checked_latent_shape(const FlowModel& model, const SizeSection& size,
                                 const std::string& pointer) {
  try {
    return model.latent_shape(size.height, size.width, size.frames);
  } catch (const Error& e) {
    throw Error(pointer, e.message());
  }
}

Json phases_json(const PhaseClock& clock) {
  Json phases = Json::object();
  for (const auto& [phase, time] : clock.times())
    phases[phase] = {{"wall_s", time.wall}, {"cpu_s", time.cpu}};
  return phases;
}

Velocity bound_with_lora(const FlowModel& model, const ModelSection& section, const Observer& observer) {
  const auto lora = read_loras(section, model, observer);
  if (!lora) return model.bind(model.backbone(), nullptr);
  Adapter adapter{{}, lora->scale, lora->scales};
  for (const auto& [name, tensor] : lora->tensors)
    adapter.tensors[name] = tensor.to(model.device(), section.options(model.device()).dtype);
  return model.bind(model.backbone(), &adapter);
}

void write_events(const std::filesystem::path& folder, const std::vector<Event>& events, Json& result,
                  const Observer& observer) {
  std::string lines;
  std::vector<Json> rows;
  for (const auto& event : events) {
    Json row = {{"step", 0}};
    row.update(event_row(event));
    rows.push_back(std::move(row));
    lines += rows.back().dump() + "\n";
    if (event.type != RewardLines::kType) observer.message(event.message);  // those were shown as they came
  }
  write_synced(folder / "events.jsonl", lines);
  result["reward_failures"] = failure_summary(rows);
}

Json write_scores(const std::filesystem::path& folder, const ScoredRun& run, const RewardSet* rewards,
                  const PhaseClock& clock, const Observer& observer) {
  Json result = {{"job", run.job}, {"samples", run.prompts.size()}};
  auto events = run.events;
  auto shown = run.shown;
  shown.total = run.prompts.size();
  const auto first = std::min<std::ptrdiff_t>(kReportSamples, std::ssize(run.prompts));
  shown.prompts.assign(run.prompts.begin(), run.prompts.begin() + first);
  bool came_to_something = true;
  if (rewards && run.scores) {
    const auto& scores = *run.scores;
    const auto total = combined(*rewards, scores);
    write_synced(folder / "scores.jsonl", score_lines(run, scores, total));
    result["rewards"]["reward"] = mean_of(total.total_B, total.valid_B);
    for (int64_t k = 0; k < scores.dimensions(); ++k) {
      const auto& name = scores.names_K[static_cast<size_t>(k)];
      result["rewards"][name] = mean_of(scores.values_BK.select(1, k), scores.valid_BK.select(1, k));
    }
    for (const auto& [name, entry] : result["rewards"].items()) {
      const auto mean = entry.at("mean");
      observer.message(name + "  " + (mean.is_null() ? "not scored" : mean.dump().substr(0, 8)));
    }
    came_to_something = any_scored(scores, total.valid_B);
    shown.scores = first_scores(total, kReportSamples);
    if (auto event = failure_event("score", scores, total.valid_B)) events.push_back(std::move(*event));
  }
  if (!events.empty() || run.scores) write_events(folder, events, result, observer);
  result.update(run.sections);
  result["time_phases"] = phases_json(clock);
  write_scored_report(
      folder, scored_report(folder, result, run.settings, came_to_something && run.came_to_nothing.empty()),
      {shown}, observer);
  if (!came_to_something)
    throw NothingAchieved("/rewards", "not one sample was scored" + failure_reasons(run.scores->failures),
                          std::move(result));
  if (!run.came_to_nothing.empty())
    throw NothingAchieved("/steering", run.came_to_nothing, std::move(result));
  return result;
}

}  // namespace thalweg
