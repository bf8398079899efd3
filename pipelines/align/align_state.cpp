#include "pipelines/align/align_state.h"

#include <ATen/ATen.h>

#include "engine/core/device.h"
#include "engine/core/error.h"
#include "engine/io/checkpoint.h"
#include "engine/weights/safetensors.h"

namespace thalweg {
namespace {

namespace fs = std::filesystem;

Json number_or_null(double value) {
  return std::isfinite(value) ? Json(value) : Json(nullptr);
}

double number_of(const Json& json, double absent) {
  return json.is_null() ? absent : json.get<double>();
}

std::vector<InputFile> inputs_of(const AlignOptions& o) {
  std::vector<InputFile> inputs = {{"/model/path", o.model.path},
                                   {"/prompts/train", o.train_prompts},
                                   {"/prompts/select", o.select_prompts},
                                   {"/prompts/eval", o.eval_prompts}};
  if (o.model.has_lora && !o.model.lora.path.empty())
    inputs.push_back({"/model/lora/path", o.model.lora.path});
  add_inputs(inputs, o.rewards);
  return inputs;
}

void prune(const AlignOptions& options, const AlignProgress& progress) {
  std::set<int64_t> best;
  if (!progress.best.empty()) best.insert(progress.best_step);
  prune_checkpoints(options.output, options.checkpoint.keep, best);
}

}  // namespace

void save_align(const AlignContext& c, const Method& method, const AlignProgress& progress,
                const Json& identity, RunRecord& record) {
  record.sync();
  CheckpointWriter writer(c.options.output, progress.next);
  write_safetensors(writer.path("policy.safetensors"), c.policy);
  write_safetensors(writer.path("optimizer.safetensors"), c.optimizer.state());
  if (!c.average.empty()) write_safetensors(writer.path("average.safetensors"), c.average);
  const auto state = method.state();
  if (!state.empty()) write_safetensors(writer.path("method.safetensors"), state);
  if (!progress.best.empty()) write_safetensors(writer.path("best.safetensors"), progress.best);
  record.save(writer);
  writer.commit({{"next", progress.next},
                 {"evaluated", progress.evaluated},
                 {"held_out", number_or_null(progress.held_out)},
                 {"optimizer_steps", c.optimizer_steps},
                 {"best_step", progress.best_step},
                 {"best_value", number_or_null(progress.best_value)},
                 {"time_s", record.elapsed()}},
                identity);
  prune(c.options, progress);
}

AlignStart load_align(AlignContext& c, Method& method, const Json& identity) {
  require_own_checkpoints(c.options.output, [&] { return identity; });
  AlignStart start;
  start.resumed = find_resumable(c.options.output, c.observer);
  const auto& found = start.resumed.checkpoint;
  if (!found) return start;
  auto& progress = start.progress;
  const auto load = [&](const char* name) {
    return moved(cloned(read_safetensors(*found / name).tensors), c.device);
  };
  const auto exists = [&](const char* name) { return fs::exists(*found / name); };
  c.policy = leaves(load("policy.safetensors"));
  c.optimizer.load_state(load("optimizer.safetensors"));
  if (exists("average.safetensors")) c.average = load("average.safetensors");
  if (exists("method.safetensors")) method.load_state(load("method.safetensors"));
  if (exists("best.safetensors")) progress.best = load("best.safetensors");
  const auto json = read_state(*found);
  progress.next = json.at("next").get<int64_t>();
  progress.evaluated = json.at("evaluated").get<int64_t>();
  progress.held_out = number_of(json.at("held_out"), progress.held_out);
  c.optimizer_steps = json.at("optimizer_steps").get<int64_t>();
  progress.best_step = json.at("best_step").get<int64_t>();
  progress.best_value = number_of(json.at("best_value"), progress.best_value);
  progress.elapsed_s = json.at("time_s").get<double>();
  prune(c.options, progress);  // a kill may have come between the last save and this
  c.observer.message("resuming at iteration " + std::to_string(progress.next) + " from " + found->string());
  return start;
}

Json align_identity(const AlignOptions& options) {
  AlignOptions copy = options;
  return run_identity([&](Fields& f) { describe(f, copy); }, inputs_of(options));
}

bool is_finished(const AlignOptions& o) {
  const fs::path folder = o.output;
  const auto weights = o.model.has_lora ? "pytorch_lora_weights.safetensors" : "model/model_index.json";
  for (const auto& name : {"result.json", "report.html", weights})
    if (!fs::exists(folder / name)) return false;
  const auto checkpoints = list_checkpoints(folder);
  if (checkpoints.empty()) return false;
  try {
    return parse_json_file(folder / "result.json").value("status", "") == "succeeded" &&
           read_manifest(checkpoints.back()).step == o.iterations;
  } catch (const Error&) {
    return false;  // damaged: done again
  }
}

}  // namespace thalweg
