// Methods by name with their options, at work on the small model.
#pragma once

#include "engine/io/checkpoint.h"
#include "pipelines/methods/method.h"
#include "pipelines/training/state.h"
#include "tests/io/scratch.h"
#include "tests/training/small_training.h"

namespace thalweg {

/// The method of that name; `options` as a job gives them.
inline Chosen<Method> method_named(const std::string& name, Json options = Json::object()) {
  options["name"] = name;
  Chosen<Method> method;
  read_fields(options, "/method", [&](Fields& f) { method.describe(f, {"name", ""}, method_table()); });
  return method;
}

/// Whether it trains a generator of few steps, by the ODE.
inline bool is_few_step(const std::string& name) {
  return Chosen<Method>(method_table(), name)->few_step();
}

/// Whether a job may give it that key.
inline bool has_key(const std::string& name, const std::string& key) {
  Chosen<Method> method(method_table(), name);
  return write_fields([&](Fields& f) { method.describe(f, {"name", ""}, method_table()); }).contains(key);
}

/// Of any method, for twelve samples: three groups of four, or of a method that compares none twelve prompts.
/// Generators of few steps may learn at once.
inline Json settings_of(const std::string& name, int64_t updates = 2) {
  Json all = {{"prompts_per_iteration", 12}, {"updates", updates}};
  if (has_key(name, "group_size")) all.update({{"prompts_per_iteration", 3}, {"group_size", 4}});
  if (is_few_step(name)) all["critic"]["alone"] = 0;
  if (name == "tdm" || name == "dmd2" || name == "reward_forcing") all["guidance_scale"] = 1.5;
  if (name == "euphonium")  // its rewards have no gradient
    all["guidance"] = {{"gradient", "spsa"}, {"guidance_scale", 0.5}, {"window", {{"begin", 0}}}};
  if (name == "guidance_to_policy") all["steering"] = {{{"name", "spsa"}}};
  return all;
}

/// Of a method that learns from pairs: three groups of four, one update, one noise level a sample.
inline Json pair_settings(double beta, const Json& more) {
  Json all = {{"prompts_per_iteration", 3},
              {"group_size", 4},
              {"updates", 1},
              {"times_per_sample", 1},
              {"beta", beta}};
  all.update(more);
  return all;
}

/// Training options with a sampler that most methods take.
inline TrainingOptions stochastic(int64_t micro_batch = 4) {
  auto o = SmallTraining::default_options();
  o.sampler.kind = Chosen<SamplerKind>(sampler_table(), "flow_sde");
  o.parallel.micro_batch = micro_batch;
  o.optimizer.learning_rate = 0.01;
  return o;
}

/// Training options with a sampler that the method takes.
inline TrainingOptions options_of(const std::string& name, int64_t micro_batch = 4) {
  auto o = stochastic(micro_batch);
  if (is_few_step(name)) o.sampler.kind = Chosen<SamplerKind>(sampler_table(), "flow_ode");
  if (name == "adjoint_matching") o.sampler.kind = Chosen<SamplerKind>(sampler_table(), "memoryless");
  return o;
}

/// Through a checkpoint of iteration `step`: all that `from` keeps, into a run of the same job that has not
/// begun.
inline void carry_over(int64_t step, Training& from, MethodRun& run, Training& to, MethodRun& fresh) {
  const Scratch scratch;
  CheckpointWriter checkpoint(scratch.folder(), step);
  StateWriter writer(checkpoint);
  from.roles.state(writer);
  run.state(writer);
  StateReader reader(checkpoint.commit(writer.json(), {}), at::kCPU);
  to.roles.state(reader);
  fresh.state(reader);
}

/// All pictures are alike to it.
class FlatReward final : public Reward {
 public:
  FlatReward() {
    info_.name = "small";
    info_.dimensions_K = {"bright"};
    info_.required.frames = true;
    info_.gradient_of = GradientOf::frames;
  }
  const RewardInfo& info() const override { return info_; }
  Scored score(const ScoreInput& input) override {
    return {at::full({input.frames_BF3HW.size(0), 1}, 0.5, at::kFloat), {}};
  }
  ScoreGradient gradient(const ScoreInput& input, const at::Tensor&) override {
    return {at::zeros_like(input.frames_BF3HW, at::kFloat), {}, {}};
  }

 private:
  RewardInfo info_;
};

inline std::unique_ptr<RewardSet> flat_rewards() {
  RewardSpec spec;
  spec.plugin = "small";
  spec.dimensions = {{"bright", 1.0}};
  std::vector<RewardMember> members;
  members.push_back({spec, std::make_shared<FlatReward>()});
  return std::make_unique<RewardSet>(std::move(members));
}

}  // namespace thalweg
