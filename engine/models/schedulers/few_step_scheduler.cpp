#include "engine/models/schedulers/few_step_scheduler.h"

#include <string>

#include "engine/core/error.h"
#include "engine/core/file.h"
#include "engine/core/noise_levels.h"
#include "engine/weights/config.h"
#include "engine/weights/folder.h"

namespace thalweg {
namespace {

namespace fs = std::filesystem;

}  // namespace

std::optional<FlowMatchEuler> read_few_step_scheduler(const fs::path& file) {
  std::error_code ec;
  if (!fs::exists(fs::symlink_status(file, ec))) return std::nullopt;
  const auto config = parse_json_file(file, kMaxConfigBytes);
  if (!config.is_object()) throw Error(file.string(), "must be a JSON object");
  if (!config.contains(kFewSteps) && !config.contains(kFewSigmas)) return std::nullopt;
  if (const auto name = config_text(config, "_class_name", kFlowMatchEuler, file); name != kFlowMatchEuler)
    throw Error(file.string(), "\"" + std::string(kFewSteps) + "\" is read of " + kFlowMatchEuler +
                                   " alone, and this is " + printable(name, 80));
  auto scheduler = parse_flow_match_euler(config, file);
  if (scheduler.few_steps == 0) return std::nullopt;
  return scheduler;
}

FewStepConfig few_step_config(const Json& base, const Schedule& levels) {
  const fs::path nowhere("scheduler_config.json");
  const auto steps = levels.steps();
  FewStepConfig config;
  auto& json = config.json;
  json["_class_name"] = kFlowMatchEuler;
  if (base.is_object() && base.contains("_diffusers_version"))
    json["_diffusers_version"] = base.at("_diffusers_version");
  json["num_train_timesteps"] =
      base.is_object() ? config_integer(base, "num_train_timesteps", 1000, 1, 1000000, nowhere) : 1000;
  json["shift"] = 1.0;
  json["shift_terminal"] = nullptr;
  json["use_dynamic_shifting"] = false;
  json[kFewSteps] = steps;
  auto stretched = json;
  if (steps > 1) stretched["shift_terminal"] = levels.sigmas[static_cast<size_t>(steps) - 1];
  const auto grid = [&](const Json& of) {
    return flow_match_schedule(parse_flow_match_euler(of, nowhere), steps, 1, nowhere);
  };
  const double apart = largest_difference(grid(stretched), levels);
  config.own_grid = apart <= kSameLevels;
  if (config.own_grid) json = std::move(stretched);
  // To the last bit: what is exported draws what was evaluated.
  if (apart > 0.0) json[kFewSigmas] = std::vector<double>(levels.sigmas.begin(), levels.sigmas.end() - 1);
  return config;
}

void write_few_step_scheduler(const fs::path& folder, const FewStepConfig& config) {
  const auto file = folder / kSchedulerConfig;
  std::error_code ec;
  fs::create_directories(file.parent_path(), ec);
  if (ec) throw_io_error(file.parent_path(), "cannot be created", ec.value());
  write_synced(file, config.json.dump(2) + "\n");
  const auto index_file = folder / kModelIndex;
  if (!fs::exists(index_file, ec)) return;
  auto index = parse_json_file(index_file, kMaxConfigBytes);
  index["scheduler"] = {"diffusers", kFlowMatchEuler};
  write_synced(index_file, index.dump(2) + "\n");
}

}  // namespace thalweg
