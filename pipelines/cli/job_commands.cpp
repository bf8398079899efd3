#include "pipelines/cli/job_commands.h"

#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <iostream>
#include <optional>

#include "engine/core/error.h"
#include "pipelines/cli/exit_codes.h"
#include "pipelines/cli/output.h"
#include "pipelines/cli/progress.h"
#include "pipelines/cli/progress_lines.h"
#include "pipelines/cli/signals.h"
#include "pipelines/cli/watch.h"
#include "pipelines/jobs.h"
#include "pipelines/run/run_job.h"
#include "rewards/stray_output.h"

namespace thalweg::cli {
namespace {

Observer observer_of(Progress& progress) {
  Observer observer;
  observer.progress = [&progress](const auto& phase, int64_t done, int64_t total, const auto& values) {
    progress.update(phase, done, total, values);
  };
  observer.message = [&progress](const std::string& line) { progress.message(line); };
  return observer;
}

// A plugin that calls exit() must not run what waits for the end of the program: other threads are at work.
std::atomic<bool> running{false};

void refuse_to_exit(int code, void*) {
  if (!running) return;
  take_stray_output();
  if (is_watched()) ::_exit(code);  // who watches says what happened
  std::cerr << "thalweg: a plugin ended the program in the middle of the run\n";
  ::_exit(kFailed);
}

struct Running {
  Running() {
    running = true;
    ::on_exit(refuse_to_exit, nullptr);
  }
  ~Running() { running = false; }
};

// Signals and exits are caught from when the job has begun: until then nothing is to be kept.
JobEnd run_watched(const Json& job, Observer observer) {
  std::optional<Running> until_done;
  const auto started = observer.started;
  observer.started = [&](const std::string& output) {
    watch_signals();
    until_done.emplace();
    tell_begun(output);
    started(output);
  };
  observer.stop_requested = [] { return stop_requested() || stop_was_asked(); };
  return run_job(job, observer);
}

JobEnd run_for_people(const Json& job) {
  Progress progress(Progress::Output::detect(standard_output()));
  auto end = run_watched(job, observer_of(progress));
  if (end.kind == JobEnd::Kind::stopped)
    progress.message(end.resumes ? "stopped; run the same command to go on"
                                 : "stopped; the same command begins anew");
  return end;
}

JobEnd run_for_programs(const Json& job) {
  ProgressLines lines(standard_output());
  Observer observer;
  observer.progress = [&](const auto& phase, int64_t done, int64_t total, const auto& values) {
    lines.update(phase, done, total, values);
  };
  observer.started = [&](const std::string& output) { lines.started(output); };
  observer.message = [&](const std::string& line) { lines.message(line); };
  auto end = run_watched(job, observer);
  lines.end(end);
  return end;
}

int exit_code(JobEnd::Kind kind) {
  switch (kind) {
    case JobEnd::Kind::succeeded:
      return kDone;
    case JobEnd::Kind::stopped:
      return kStopped;
    case JobEnd::Kind::wrong_job:
      return kUserError;
    case JobEnd::Kind::failed:
      break;
  }
  return kFailed;
}

}  // namespace

int run(const JobArguments& arguments, bool as_json) {
  const auto job = load_job(arguments);
  const auto end = as_json ? run_for_programs(job) : run_for_people(job);
  if (!end.message.empty()) std::cerr << "thalweg: " << end.message << "\n";
  return exit_code(end.kind);
}

void check(const Json& json) {
  const auto job = checked_job(json);
  check_folder(*job, resolved_job(json));
}

Plan planned(Json job, PlanMode mode) {
  PlanRequest request{mode};
  const auto device = job.is_object() ? job.value("device", Json()) : Json();
  if (device.is_string() && device.get<std::string>().starts_with("cuda")) {
    if (mode == PlanMode::measure)
      throw Error("--measure", "rehearses on the CPU alone; leave it out for a job on a GPU");
    request.device = at::kCUDA;
    job["device"] = "cpu";  // the GPU need not be here
  }
  auto plan = checked_job(job)->plan(request);
  if (plan.job.empty()) plan.job = job.at("job").get<std::string>();
  return plan;
}

}  // namespace thalweg::cli
