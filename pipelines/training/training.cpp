#include "pipelines/training/training.h"

#include <utility>

#include "engine/core/device.h"
#include "pipelines/scoring.h"
#include "samplers/guidance/cfg.h"

namespace thalweg {

Training::Training(const TrainingOptions& o, const Observer& observer, Workers& workers, TrainingParts parts)
    : options(o),
      observer(observer),
      workers(workers),
      model(std::move(parts.model)),
      prompts(std::move(parts.prompts)),
      pictures(std::move(parts.pictures)),
      teacher(std::move(parts.teacher)),
      unconditional(on_device(parts.unconditional, model->device())),
      shape(checked_latent_shape(*model, o.sampler.size, "/sampler")),
      schedule(schedule_of(o.sampler.schedule, *model, o.sampler.steps, o.sampler.size)),
      space(*model, o.model, static_cast<uint64_t>(o.seed),
            o.reference == "base" ? ReferenceModel::base : ReferenceModel::loaded, o.optimizer.offload),
      rewards(parts.rewards()),
      policy(roles.add("policy", space, space.start(), Learning{o.optimizer, o.ema_decay})),
      clock(model->device()) {}

Velocity Training::guided(const Velocity& velocity) const {
  return cfg(options.sampler.guidance(), unconditional)(velocity);
}

}  // namespace thalweg
