// A process reward of noised latents, r(x_t, t, prompt) (PAVRM, DiNa-LRM, Euphonium's latent reward), from
// the outcomes of a model's own samples: rollout -> score -> noise along the path -> fit -> repeat. What it
// is fitted to is an objective; "soft_value" is what exact steering follows.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "engine/core/device.h"
#include "engine/core/error.h"
#include "engine/core/statistics.h"
#include "engine/models/process_reward/process_reward.h"
#include "engine/optim/adamw.h"
#include "engine/optim/gradients.h"
#include "pipelines/learners/held_out_ranks.h"
#include "pipelines/learners/learner.h"
#include "pipelines/learners/objective.h"
#include "pipelines/learners/outcome_pool.h"
#include "pipelines/learners/process_network.h"
#include "pipelines/pretraining/skipped_updates.h"
#include "pipelines/stages/lanes.h"

namespace thalweg {
namespace {

struct Options {
  Chosen<ProcessObjective> loss;
  ProcessNetwork network;
  std::string states = "noised";
  int64_t groups = 16, group_size = 8, drawing_iterations = 0, pool = 4096, updates = 8, batch_size = 64;
};

class LatentProcessRun final : public LearnerRun {
 public:
  LatentProcessRun(const Options& options, RewardTraining& training)
      : o_(options),
        t_(training),
        network_(options.network.made(training)),
        parameters_(leaves(moved(initial_parameters(network_.specs(), training.seed()), training.device()))),
        average_(training.options.ema_decay > 0.0 ? cloned(parameters_) : TensorMap{}),
        adamw_({training.options.optimizer.beta1, training.options.optimizer.beta2,
                training.options.optimizer.eps, training.options.optimizer.weight_decay}),
        pool_(options.group_size, options.pool),
        ranks_(training, training.options.evaluate.group_size, training.options.evaluate.levels,
               kept_step(training.options.evaluate.group_size)) {}

  Metrics iterate(int64_t iteration) override {
    Metrics metrics;
    if (o_.drawing_iterations == 0 || iteration < o_.drawing_iterations) draw(iteration, metrics);
    for (int64_t k = 0; k < o_.updates; ++k) update(iteration, iteration * o_.updates + k, metrics);
    for (auto& [name, value] : metrics)
      if (name == "loss" || name == "grad_norm") value /= static_cast<double>(o_.updates);
    metrics.emplace_back("pool", static_cast<double>(pool_.size()));
    return metrics;
  }

  HeldOut evaluate(int64_t) override {
    if (pool_.size() == 0) return {std::nan(""), ranks_.name(), {}, {}};
    const auto levels = ranks_.of(t_.select, bound(shown()));
    return {ranks_.chosen(levels), ranks_.name(), ranks_.metrics(levels), {}};
  }

  TensorMap shown() const override { return average_.empty() ? parameters_ : average_; }

  void state(RunState& state) override {
    state.tensors("parameters", parameters_);
    state.tensors("average", average_);
    auto adamw = adamw_.state();
    state.tensors("adamw", adamw);
    state.number("offset", units_.offset);
    state.number("scale", units_.scale);
    state.integer("steps", steps_);
    skipped_.state(state);
    pool_.state(state);
    if (!state.reads()) return;
    parameters_ = leaves(parameters_);
    adamw_.load_state(adamw);
  }

  std::vector<Event> take_events() override {
    auto events = t_.take_events();
    for (auto& event : skipped_.take()) events.push_back(std::move(event));
    return events;
  }
  std::vector<PhaseTiming> timings() const override { return t_.timings(); }

  Json finish(const std::filesystem::path& folder, const TensorMap& best) override {
    require_some_update(skipped_.count(), skipped_.count() + steps_, "/optimizer/learning_rate");
    auto config = network_.config();
    config.offset = units_.offset;
    config.scale = units_.scale;
    config.trained = {{"loss", o_.loss.name()},
                      {"rewards", t_.rewards->names_K()},
                      {"weights", t_.rewards->weights_K()},
                      {"sampler", t_.options.sampler.kind.name()},
                      {"guidance_scale", t_.options.sampler.guidance_scale}};
    o_.network.save(folder / "process_reward", config, moved(best, at::kCPU));
    return {{"loss", o_.loss.name()},
            {"skipped_updates", skipped_.count()},
            {"held_out", ranks_.json(ranks_.of(t_.evaluation, bound(best)))}};
  }

  void report(const Json& result, const std::vector<Json>& rows, Report& report) const override {
    ranks_.report(result.at("held_out"), rows, report);
  }

 private:
  RewardTraining::StepOf kept_step(int64_t group_size) const {
    if (o_.states == "noised") return {};
    return [seed = t_.seed(), steps = t_.schedule.steps(), group_size](int64_t slot) {
      const auto bits = random_bits(seed, Purpose::walked_steps, static_cast<uint64_t>(slot / group_size), 0);
      return static_cast<int64_t>(bits % static_cast<uint64_t>(steps));
    };
  }

  void draw(int64_t iteration, Metrics& metrics) {
    const auto outcomes = t_.draw(iteration, o_.groups, o_.group_size, kept_step(o_.group_size));
    pool_.add(outcomes);
    const auto known = pool_.rewards();
    if (known.numel() == 0) throw Error("/rewards", "not one sample of the rollouts was scored");
    if (iteration == 0) units_ = o_.loss->units(known);
    metrics.emplace_back("reward", masked_mean(outcomes.reward_N, outcomes.reward_N.isfinite()));
  }

  // In the reward's units.
  NoisyValue bound(const TensorMap& parameters) const {
    return [u = network_.bind(parameters, "the process reward"), units = units_](
               const at::Tensor& x, const at::Tensor& sigma_B, const Conditioning& c) {
      return units.to_reward(u(x, sigma_B, c));
    };
  }

  void update(int64_t iteration, int64_t number, Metrics& metrics) {
    const auto batch = pool_.pairs(t_.seed(), number, o_.batch_size / 2);
    const auto used_B = batch.reward_B.isfinite();
    const double used = std::max(1.0, used_B.sum().item<double>());
    const auto u = network_.bind(parameters_, "the process reward");
    const int64_t rows = std::max<int64_t>(1, t_.options.parallel.micro_batch / 2) * 2;
    const int64_t parts = (o_.batch_size + rows - 1) / rows;
    std::vector<double> losses(static_cast<size_t>(parts));
    const auto gradients_of_part = [&](int64_t i) -> std::vector<TensorMap> {
      const PhaseClock::Scope scope(t_.clock, "train");
      const int64_t begin = i * rows, end = std::min(begin + rows, o_.batch_size);
      const auto loss = loss_of(batch, u, begin, end) / used;
      losses[static_cast<size_t>(i)] = loss.item<double>();
      return {gradients_of(loss, parameters_)};
    };
    auto gradients =
        std::move(lane_gradients(*t_.workers, t_.options.parallel.lanes, parts, 1, gradients_of_part)[0]);
    const PhaseClock::Scope scope(t_.clock, "optimizer");
    const auto& o = t_.options.optimizer;
    const double norm = clip_gradients(gradients, o.max_grad_norm, o.max_grad_value);
    double loss = 0.0;
    for (const double part : losses) loss += part;
    add_metric(metrics, "loss", loss);
    add_metric(metrics, "grad_norm", norm);
    if (skipped_.skips(norm, number, metrics)) return;
    adamw_.step(parameters_, gradients, o.rate_at(iteration, t_.options.iterations));
    const auto n = static_cast<double>(++steps_);
    if (!average_.empty())
      ema_update(average_, parameters_, std::min((1.0 + n) / (10.0 + n), t_.options.ema_decay));
  }

  at::Tensor loss_of(const NoisedPairs& batch, const NoisyValue& u, int64_t begin, int64_t end) const {
    const auto part = [&](const at::Tensor& x) {
      return on_device(x.slice(0, begin, end).contiguous(), t_.device());
    };
    const auto conditioning =
        t_.conditioning_of(t_.prompts, {batch.prompt_B.begin() + begin, batch.prompt_B.begin() + end});
    const auto used_B = part(batch.reward_B.isfinite());
    const auto a_B = part(at::nan_to_num(units_.of_reward(batch.reward_B), 0.0, 0.0, 0.0).to(at::kFloat));
    return o_.loss->loss(a_B, u(part(batch.x_BCFHW), part(batch.sigma_B), conditioning), used_B).sum();
  }

  const Options& o_;
  RewardTraining& t_;
  const ProcessReward network_;
  TensorMap parameters_, average_;
  AdamW adamw_;
  OutcomePool pool_;
  HeldOutRanks ranks_;
  RewardUnits units_;
  SkippedUpdates skipped_{"process reward", "/optimizer/learning_rate"};
  int64_t steps_ = 0;
};

class LatentProcess final : public Cloneable<LatentProcess, Learner> {
 public:
  void describe(Fields& f) override {
    f.object({"loss", "what is fitted"}, [&](Fields& l) {
      o_.loss.describe(l, {"name", "objective"}, objective_table());
    });
    f.object({"network", "what learns"}, [&](Fields& n) { o_.network.describe(n); });
    f.choice({"states",
              "clean samples noised anew at a random level (noised), or the states that their own rollouts "
              "passed, "
              "one a sample (rollout)"},
             o_.states, {"noised", "rollout"});
    f.integer({"prompts_per_iteration", "groups of one rollout"}, o_.groups, 1, 100000);
    f.integer({"group_size", "samples a prompt"}, o_.group_size, 2, 4096);
    f.integer({"drawing_iterations",
               "first iterations, which draw samples; later ones learn from what is there; 0: all"},
              o_.drawing_iterations, 0, 10000000);
    f.integer({"pool", "newest samples that are learned from; checkpoints hold them"}, o_.pool, 2, 10000000);
    f.integer({"updates", "optimizer steps an iteration"}, o_.updates, 1, 100000);
    f.integer({"batch_size", "states an update, in pairs of one prompt and one noise level"}, o_.batch_size,
              2, 65536);
  }

  void check(const TrainRewardOptions& options) const override {
    if (o_.batch_size % 2 != 0)
      throw Error("/learner/batch_size", "must be even: states come in pairs of one prompt");
    if (o_.pool < o_.groups * o_.group_size)
      throw Error("/learner/pool",
                  "must hold one rollout, " + std::to_string(o_.groups * o_.group_size) + " samples");
    o_.network.check(options);
  }

  std::unique_ptr<LearnerRun> start(RewardTraining& training) const override {
    return std::make_unique<LatentProcessRun>(o_, training);
  }

 private:
  Options o_{Chosen<ProcessObjective>(objective_table().front()), {}};
};

}  // namespace

std::unique_ptr<Learner> make_latent_process_learner() {
  return std::make_unique<LatentProcess>();
}

}  // namespace thalweg
