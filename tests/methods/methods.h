// Methods by name with their options, at work on the small model.
#pragma once

#include "pipelines/methods/method.h"
#include "tests/training/small_training.h"

namespace thalweg {

/// The method of that name; `options` as a job gives them.
inline Chosen<Method> method_named(const std::string& name, Json options = Json::object()) {
  options["name"] = name;
  Chosen<Method> method;
  read_fields(options, "/method", [&](Fields& f) { method.describe(f, {"name", ""}, method_table()); });
  return method;
}

/// Training options with a sampler that every method takes.
inline TrainingOptions stochastic(int64_t micro_batch = 4) {
  auto o = SmallTraining::default_options();
  o.sampler.kind = Chosen<SamplerKind>(sampler_table(), "flow_sde");
  o.parallel.micro_batch = micro_batch;
  o.optimizer.learning_rate = 0.01;
  return o;
}

}  // namespace thalweg
