#include "engine/models/schedulers/folder_scheduler.h"

#include "engine/core/error.h"
#include "engine/models/schedulers/few_step_scheduler.h"
#include "engine/models/schedulers/unipc.h"
#include "engine/weights/config.h"

namespace thalweg {
namespace {

/// The job's own words, which take the scheduler's place.
std::string instead(const std::string& sampler) {
  return ". To draw otherwise on purpose, name noise levels and sampler in the job: \"schedule\": {\"name\": "
         "\"sd3\", \"shift\": 3.0} or another, beside \"sampler\": {\"name\": \"" +
         sampler + "\"}";
}

/// The sampler of ours that steps as that scheduler does; its noise levels are its own all the same.
std::string sampler_like(const std::string& scheduler) {
  if (scheduler.find("Heun") != std::string::npos) return "heun";
  if (scheduler == "DPMSolverMultistepScheduler") return "dpmpp_2m";
  if (scheduler == "DPMSolverSinglestepScheduler") return "dpmpp_2s";
  return "flow_ode";
}

}  // namespace

FolderScheduler::FolderScheduler(const ModelFolder& folder, const std::filesystem::path& generator,
                                 FlowGrid grid)
    : index_(folder.root / kModelIndex),
      path_(folder.root / kSchedulerConfig),
      generator_path_(generator),
      grid_(grid) {
  if (!generator.empty()) generator_ = read_few_step_scheduler(generator);
  if (has_component(folder, "scheduler")) class_name_ = folder.index.at("scheduler").at(1).get<std::string>();
  std::error_code ec;
  if (!std::filesystem::exists(std::filesystem::symlink_status(path_, ec))) return;
  config_ = parse_json_file(path_, kMaxConfigBytes);
  num_train_timesteps_ =
      config_integer(config_, "num_train_timesteps", num_train_timesteps_, 1, 1000000, path_);
  // An index that says nothing of it leaves the word to the file; one that says null has none.
  if (!folder.index.contains("scheduler"))
    class_name_ = config_text(config_, "_class_name", kFlowMatchEuler, path_);
}

Schedule FolderScheduler::schedule(int64_t steps, int64_t tokens) const {
  if (generator_) return flow_match_schedule(*generator_, steps, tokens, generator_path_, grid_);
  if (class_name_.empty()) throw Error(index_.string(), "lists no scheduler" + instead("flow_ode"));
  if (class_name_ != kFlowMatchEuler && class_name_ != kUniPc)
    throw Error(index_.string(), "its scheduler, " + printable(class_name_, 80) +
                                     ", is not had here: " + kFlowMatchEuler + " and " + kUniPc + " are" +
                                     instead(sampler_like(class_name_)));
  if (!has_file()) throw Error(path_.string(), "no such file, though model_index.json lists the component");
  const auto checked = [&](const auto& parse) {
    try {
      return parse(config_, path_);
    } catch (const Error& e) {
      throw Error(e.place(), e.message() + instead("flow_ode"));
    }
  };
  if (class_name_ == kUniPc) return unipc_schedule(checked(parse_unipc), steps);
  return flow_match_schedule(checked(parse_flow_match_euler), steps, tokens, path_, grid_);
}

}  // namespace thalweg
