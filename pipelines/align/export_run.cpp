#include "pipelines/align/export_run.h"

#include <optional>
#include <utility>

#include "engine/core/error.h"
#include "engine/core/file.h"
#include "engine/io/checkpoint.h"
#include "pipelines/align/export.h"
#include "pipelines/align/trainee_state.h"
#include "pipelines/models.h"
#include "pipelines/resume.h"
#include "pipelines/training/roles.h"
#include "pipelines/training/run.h"

namespace thalweg {
namespace {

namespace fs = std::filesystem;

// The newest whole one, or the one that is asked for.
fs::path chosen_checkpoint(const ExportRequest& request) {
  const auto all = list_checkpoints(request.run);
  if (all.empty())
    throw Error(request.run.string(),
                "holds no checkpoint of a run; name the output folder of an `align` job");
  std::string problem;
  for (auto it = all.rbegin(); it != all.rend(); ++it) {
    if (request.checkpoint && checkpoint_number(*it) != *request.checkpoint) continue;
    problem = verify_checkpoint(*it);
    if (problem.empty()) return *it;
  }
  if (problem.empty())
    throw Error("--checkpoint", request.run.string() + " has no checkpoint-" +
                                    std::to_string(*request.checkpoint) + "; the newest is " +
                                    all.back().filename().string());
  throw Error(request.run.string(), "holds no whole checkpoint: " + problem);
}

AlignOptions options_of(const fs::path& checkpoint) {
  const auto run = read_manifest(checkpoint).run;
  const auto job = run.is_object() ? run.value("job", Json()) : Json();
  if (!job.is_object() || !job.contains("method"))
    throw Error(checkpoint.string(), "is not of an `align` job, which alone has weights to export");
  AlignOptions options;
  try {
    read_fields(job, "", [&](Fields& f) { describe(f, options); });
  } catch (const Error& e) {
    throw Error(checkpoint.string(),
                std::string("was written by another version of this program: ") + e.what());
  }
  return options;
}

void require_empty(const fs::path& folder) {
  std::error_code ec;
  if (fs::exists(folder, ec) && !fs::is_empty(folder, ec))
    throw Error("--to", folder.string() + " is there and not empty; name a new folder");
  fs::create_directories(folder, ec);
  if (ec) throw_io_error(folder, "cannot be created", ec.value());
}

}  // namespace

Export export_run(const ExportRequest& request) {
  Export done;
  done.checkpoint = chosen_checkpoint(request);
  auto o = options_of(done.checkpoint);
  const auto model_path = request.model.empty() ? o.model.path : request.model;
  require_same_inputs(done.checkpoint, {{"/model/path", model_path}});
  const auto model = load_model(model_path, o.model.options(at::kCPU));

  StateReader state(done.checkpoint, at::kCPU);
  TraineeNotes notes;
  notes.state(state);
  // The checkpoint has the strength; the file that training started from need not be there any more.
  o.model.lora.path.clear();
  o.model.lora.alpha = notes.lora_alpha;
  o.model.lora.alpha_pattern = alpha_pattern_of(notes, done.checkpoint.string());
  const PolicySpace space(*model, o.model, static_cast<uint64_t>(o.seed));
  Role policy("policy", space, space.start(), Learning{o.optimizer, o.ema_decay});
  policy.state(state);
  RunProgress progress;
  progress.state(state);

  done.best = !request.checkpoint && !progress.best.empty();
  done.value = progress.best_value;
  done.iteration = done.best ? progress.best_step : progress.next;
  done.to = request.to.empty() ? request.run / ("export-" + std::to_string(done.iteration)) : request.to;
  require_empty(done.to);
  write_weights(done.to, {o, *model, space, notes.rewards, generator_of(notes, done.checkpoint.string())},
                exported_parameters(space, done.best ? progress.best : policy.shown(), o.export_),
                done.iteration);
  return done;
}

}  // namespace thalweg
