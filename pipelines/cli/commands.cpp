#include "pipelines/cli/commands.h"

#include <CLI/CLI.hpp>
#include <iostream>

#include "engine/core/error.h"
#include "pipelines/cli/allocator.h"
#include "pipelines/cli/answer.h"
#include "pipelines/cli/exit_codes.h"
#include "pipelines/cli/export_command.h"
#include "pipelines/cli/job_commands.h"
#include "pipelines/cli/lora_command.h"
#include "pipelines/cli/output.h"
#include "pipelines/cli/plan_table.h"
#include "pipelines/cli/plugin_list.h"
#include "pipelines/cli/plugin_trial.h"
#include "pipelines/cli/reward_skeleton.h"
#include "pipelines/cli/reward_trial.h"
#include "pipelines/cli/service_command.h"
#include "pipelines/cli/watch.h"
#include "pipelines/jobs.h"
#include "rewards/kept_state.h"
#include "rewards/stray_output.h"

namespace thalweg::cli {
namespace {

int validate(const JobArguments& arguments) {
  check(load_job(arguments));
  print(arguments.path + ": a valid job\n");
  return kDone;
}

int plan(const JobArguments& arguments, PlanMode mode, bool as_json) {
  const auto plan = planned(load_job(arguments), mode);
  print(as_json ? plan_json(plan).dump(2) + "\n" : plan_table(plan));
  return kDone;
}

int guarded(const std::function<int()>& command) {
  try {
    return command();
  } catch (const IoError& e) {
    std::cerr << "thalweg: " << e.what() << "\n";
    return kFailed;
  } catch (const Error& e) {
    std::cerr << "thalweg: " << e.what() << "\n";
    return kUserError;
  } catch (const std::exception& e) {
    std::cerr << "thalweg: internal error: " << e.what() << "\n";
    return kFailed;
  }
}

}  // namespace

int run_program(int argc, char** argv) {
  open_standard_descriptors();
  keep_freed_memory();
  CLI::App app{"Thalweg aligns flow-matching image and video models with rewards of your own."};
  app.set_version_flag("--version", std::string(THALWEG_VERSION));
  app.require_subcommand(1);
  JobArguments arguments;
  bool as_json = false, measure = false, estimate = false;
  std::string progress = "bar";
  PluginTrial trial;
  const auto add_job_options = [&](CLI::App* command) {
    command->add_option("job", arguments.path, "job file (JSON)")->required();
    command->add_option("--set", arguments.settings, "/json/pointer=value: replaces a value of the job")
        ->take_all()
        ->allow_extra_args(false);
    command->add_option("--output", arguments.output, "folder of the run, instead of the job's");
    command->add_option("--device", arguments.device, "cpu, cuda or cuda:N, instead of the job's");
  };
  auto* run_command = app.add_subcommand("run", "run a job, or resume it");
  auto* validate_command = app.add_subcommand("validate", "check a job without running it");
  auto* plan_command =
      app.add_subcommand("plan", "predict a job's peak memory and time, and say which setting to change");
  auto* schema_command = app.add_subcommand("schema", "print the JSON schema of jobs");
  auto* plugins_command = app.add_subcommand("plugins", "list reward plugins");
  add_job_options(run_command);
  run_command->add_option("--progress", progress, "json: an object a line, for programs")
      ->check(CLI::IsMember({"bar", "json"}));
  add_job_options(validate_command);
  add_job_options(plan_command);
  plan_command->add_flag("--json", as_json, "as JSON");
  auto* measured = plan_command->add_flag(
      "--measure", measure, "load the model and run a little of each phase, however long that takes");
  plan_command->add_flag("--estimate", estimate, "from configs and headers alone")->excludes(measured);
  plugins_command->add_flag("--json", as_json, "as JSON");
  add_options(*plugins_command, trial);
  auto* reward_command = app.add_subcommand("reward", "write a reward of your own, and try it on pictures");
  reward_command->require_subcommand(1);
  RewardSkeleton skeleton;
  RewardTrial reward_trial;
  auto* new_command = reward_command->add_subcommand("new", "write a folder with a reward that works");
  new_command->add_option("name", skeleton.name, "of the reward and its folder")->required();
  auto* language = new_command->add_option_group("language");
  language->add_flag("--python", skeleton.python, "a function in Python");
  language->add_flag("--c", skeleton.c, "a shared library in C");
  language->add_flag("--cpp", skeleton.cpp, "a shared library in C++");
  language->require_option(1);
  auto* try_command = reward_command->add_subcommand("try", "score pictures with the rewards of a job");
  add_options(*try_command, reward_trial);
  LoraArguments lora;
  auto* lora_command = app.add_subcommand("lora", "show a LoRA file, check it against a model, convert it");
  lora_command->add_option("file", lora.path, "LoRA file, or folder of PEFT or diffusers")->required();
  lora_command->add_option("--model", lora.model,
                           "model folder: how many of its layers does the file match?");
  lora_command->add_option("--to", lora.to, "write it in the layout of diffusers (needs --model)");
  ExportArguments exported;
  auto* export_command =
      app.add_subcommand("export", "write the LoRA or the model of a run that was stopped, or goes on");
  export_command->add_option("run", exported.run, "output folder of an `align` job")->required();
  export_command
      ->add_option("--checkpoint", exported.checkpoint,
                   "weights as they were then; without it those of the best held-out evaluation so far")
      ->check(CLI::NonNegativeNumber);
  export_command->add_option("--model", exported.model, "model folder, if it has moved since");
  export_command->add_option("--to", exported.to, "new folder; without it RUN/export-ITERATION");
  auto* answer_command =
      app.add_subcommand("answer", "answer questions about jobs, a JSON object a line, for programs");
  add_service_commands(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? kDone : kUserError;
  }
  if (is_service_command(app)) return guarded([&] { return become_service(argc, argv); });
  const auto command = [&]() -> int {
    if (answer_command->parsed()) return answer_questions();
    if (run_command->parsed()) return run(arguments, progress == "json");
    if (validate_command->parsed()) return validate(arguments);
    if (plan_command->parsed())
      return plan(arguments,
                  measure    ? PlanMode::measure
                  : estimate ? PlanMode::estimate
                             : PlanMode::automatic,
                  as_json);
    if (schema_command->parsed()) print(job_schema().dump(2) + "\n");
    if (plugins_command->parsed() && !trial.file.empty())
      return print_trial(trial, as_json) ? kDone : kUserError;
    if (plugins_command->parsed()) print_plugins(as_json);
    if (new_command->parsed()) write_skeleton(skeleton);
    if (try_command->parsed()) return print_rewards(reward_trial) ? kDone : kUserError;
    if (lora_command->parsed()) show_lora(lora);
    if (export_command->parsed()) export_weights(exported);
    return kDone;
  };
  const auto work = [&] {
    standard_output();  // before anything is loaded that might print
    keep_process_state();
    const int code = guarded(command);
    take_stray_output();
    return code;
  };
  // The validator tries plugins in processes of its own.
  const bool calls_plugins = run_command->parsed() || validate_command->parsed() || plan_command->parsed() ||
                             try_command->parsed() || (plugins_command->parsed() && trial.file.empty());
  return guarded([&] { return calls_plugins && wants_watcher() ? watched(work) : work(); });
}

}  // namespace thalweg::cli
