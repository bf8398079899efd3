#include "pipelines/align/finished.h"

#include "engine/core/ceil_div.h"
#include "engine/core/error.h"
#include "engine/io/checkpoint.h"
#include "engine/io/metrics.h"
#include "pipelines/align/summary.h"

namespace thalweg {
namespace {

namespace fs = std::filesystem;

Json resolved(const AlignOptions& o) {
  AlignOptions copy = o;
  return write_fields([&](Fields& f) { describe(f, copy); });
}

// What the end of a run shows by settings that may change: with others it is shown anew.
Json shown_by(const Json& job) {
  Json shown;
  for (const auto* key : {"/name", "/monitors", "/evaluate/pictures", "/evaluate/baselines",
                          "/evaluate/early_stop", "/iterations"})
    if (const Json::json_pointer at(key); job.contains(at)) shown.push_back(job.at(at));
  return shown;
}

// The step at which early stopping ends the run that left this checkpoint; none: it goes on.
std::optional<int64_t> early_end(const AlignOptions& o, const fs::path& checkpoint) {
  auto early = early_stop_of(o);
  if (!early) return std::nullopt;
  for (const auto& row : MetricsLog::read_all(checkpoint / "metrics.jsonl")) early->observe(row);
  return early->ended();
}

}  // namespace

std::optional<EarlyStop> early_stop_of(const AlignOptions& o) {
  if (!o.evaluate.early_stop.present) return std::nullopt;
  return EarlyStop(o.evaluate.early_stop, metric_name(o), o.evaluate.every);
}

void check_early_stop(const AlignOptions& o) {
  const auto& e = o.evaluate;
  if (e.early_stop.present && e.early_stop.patience >= ceil_div(o.iterations, e.every))
    throw Error("/evaluate/early_stop/patience",
                std::to_string(e.early_stop.patience) + " evaluations, one every " + std::to_string(e.every) +
                    " iterations, are not over before the last of " + std::to_string(o.iterations) +
                    " iterations, so that the run could never end early; lower it or /evaluate/every");
}

void require_not_ended(const AlignOptions& o) {
  const auto checkpoints = list_checkpoints(o.output);
  if (checkpoints.empty()) return;
  const auto& newest = checkpoints.back();
  const auto done = checkpoint_number(newest);
  std::optional<int64_t> end;
  try {
    end = early_end(o, newest);
  } catch (const Error&) {
    return;  // damaged: the run sets it aside
  }
  if (end && *end < done)
    throw Error("/evaluate/early_stop", "would have ended this run after iteration " + std::to_string(*end) +
                                            ", and " + newest.string() + " has done " + std::to_string(done) +
                                            "; ask for more patience, or choose another output folder");
}

bool is_finished(const AlignOptions& o) {
  const fs::path folder = o.output;
  const auto weights = o.model.has_lora ? "pytorch_lora_weights.safetensors" : "model/model_index.json";
  for (const auto& name : {"result.json", "report.html", weights})
    if (!fs::exists(folder / name)) return false;
  const auto checkpoints = list_checkpoints(folder);
  if (checkpoints.empty()) return false;
  try {
    const auto step = read_manifest(checkpoints.back()).step;
    return parse_json_file(folder / "result.json").value("status", "") == "succeeded" &&
           (step == o.iterations || step == early_end(o, checkpoints.back())) &&
           shown_by(parse_json_file(folder / "job.json")) == shown_by(resolved(o));
  } catch (const Error&) {
    return false;  // damaged: done again
  }
}

}  // namespace thalweg
