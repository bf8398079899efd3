#include "pipelines/align/align_state.h"

#include <ATen/ATen.h>

#include "engine/io/checkpoint.h"
#include "engine/weights/safetensors.h"
#include "pipelines/resume.h"

namespace thalweg {
void save_align(const AlignContext& c, const Method& method, const AlignProgress& progress,
                const std::string& job_hash) {
  CheckpointWriter writer(c.options.output, progress.next);
  write_safetensors(writer.path("policy.safetensors"), c.policy);
  write_safetensors(writer.path("optimizer.safetensors"), c.optimizer.state());
  if (!c.average.empty()) write_safetensors(writer.path("average.safetensors"), c.average);
  const auto state = method.state();
  if (!state.empty()) write_safetensors(writer.path("method.safetensors"), state);
  if (!progress.best.empty()) write_safetensors(writer.path("best.safetensors"), progress.best);
  Json json = {
      {"next", progress.next}, {"optimizer_steps", c.optimizer_steps}, {"best_step", progress.best_step}};
  json["best_value"] = progress.best.empty() ? Json(nullptr) : Json(progress.best_value);
  writer.commit(json, job_hash);
  prune_checkpoints(c.options.output, c.options.checkpoint.keep);
}

AlignProgress load_align(AlignContext& c, Method& method, const std::string& job_hash) {
  AlignProgress progress;
  require_own_checkpoint(c.options.output, job_hash);
  const auto found = latest_checkpoint(c.options.output);
  if (!found) return progress;
  const auto load = [&](const char* name) { return cloned(read_safetensors(*found / name).tensors); };
  const auto exists = [&](const char* name) { return std::filesystem::exists(*found / name); };
  c.policy = leaves(load("policy.safetensors"));
  c.optimizer.load_state(load("optimizer.safetensors"));
  if (exists("average.safetensors")) c.average = load("average.safetensors");
  if (exists("method.safetensors")) method.load_state(load("method.safetensors"));
  if (exists("best.safetensors")) progress.best = load("best.safetensors");
  const auto json = read_state(*found);
  progress.next = json.at("next").get<int64_t>();
  c.optimizer_steps = json.at("optimizer_steps").get<int64_t>();
  progress.best_step = json.at("best_step").get<int64_t>();
  if (!json.at("best_value").is_null()) progress.best_value = json.at("best_value").get<double>();
  c.observer.message("resuming at iteration " + std::to_string(progress.next) + " from " + found->string());
  return progress;
}

std::string align_job_hash(const AlignOptions& options) {
  AlignOptions copy = options;
  return job_hash([&](Fields& f) { describe(f, copy); });
}

}  // namespace thalweg
