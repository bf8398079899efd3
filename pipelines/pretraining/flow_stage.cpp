// Conditional flow matching with logit-normal sigmas (Esser et al. 2024, arXiv 2403.03206, section 3.1, mean
// 0, deviation 1). Text encoders learn with the transformer; Muon takes the matrices inside the blocks.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <optional>
#include <unordered_map>

#include "engine/core/dtypes.h"
#include "engine/core/rng.h"
#include "engine/optim/adamw.h"
#include "engine/optim/gradients.h"
#include "engine/optim/muon.h"
#include "pipelines/pretraining/skipped_updates.h"
#include "pipelines/pretraining/stages.h"

namespace thalweg {
namespace {

// What a batch needs: latents of every sample and the token ids of its caption.
struct FlowData {
  at::Tensor latents_N;    // float16, scaled, [N,...]
  at::Tensor ids_NL;       // token ids per sample
  at::Tensor empty_ids_L;  // of the empty caption
};

at::Tensor caption_ids(const Pretraining& p) {
  std::unordered_map<std::string, int64_t> row_of;
  std::vector<std::string> captions;
  std::vector<int64_t> rows;
  for (int64_t i = 0; i < p.options.data.images; ++i) {
    const auto caption = p.world.caption(i);
    const auto [entry, is_new] = row_of.emplace(caption, static_cast<int64_t>(captions.size()));
    if (is_new) captions.push_back(caption);
    rows.push_back(entry->second);
  }
  return p.blueprint.ids(p.folder, captions).index_select(0, at::tensor(rows, at::kLong));
}

FlowData prepare_data(const Pretraining& p) {
  c10::NoGradGuard no_grad;
  FlowData data;
  data.ids_NL = caption_ids(p);
  data.empty_ids_L = p.blueprint.ids(p.folder, {""})[0];
  const auto encode = p.blueprint.encoder(p.folder, dtype_named(p.options.dtype));
  constexpr int64_t kChunk = 64;
  const int64_t images = p.options.data.images;
  std::vector<at::Tensor> chunks;
  for (int64_t begin = 0; begin < images; begin += kChunk) {
    std::vector<int64_t> indices;
    for (int64_t i = begin; i < std::min(begin + kChunk, images); ++i) indices.push_back(i);
    chunks.push_back(encode(training_frames(p.options, p.world, indices)).to(at::kHalf));
    p.observer.progress("latents", begin + kChunk, images, {});
    if (p.observer.stop_requested()) throw Stopped{};
  }
  data.latents_N = at::cat(chunks);
  return data;
}

struct Batch {
  at::Tensor x0, ids_BL, sigma_B, noise;
};

Batch draw_batch(const PretrainOptions& o, const FlowData& data, int64_t step) {
  const auto seed = static_cast<uint64_t>(o.seed);
  const auto at_step = static_cast<uint64_t>(step);
  std::vector<int64_t> rows, slots;
  std::vector<uint8_t> dropped;
  for (int64_t row = 0; row < o.flow.batch_size; ++row) {
    const auto slot = static_cast<uint64_t>(row) + (uint64_t{1} << 32);  // apart from the VAE stage's draws
    rows.push_back(static_cast<int64_t>(random_bits(seed, Purpose::data, slot, at_step) %
                                        static_cast<uint64_t>(o.data.images)));
    dropped.push_back(random_uniform(seed, Purpose::dropout, slot, at_step) < o.flow.caption_dropout);
    slots.push_back(row);
  }
  const auto index = at::tensor(rows, at::kLong);
  const auto drop_B1 = at::tensor(dropped, at::kByte).to(at::kBool).unsqueeze(1);
  Batch batch;
  batch.x0 = data.latents_N.index_select(0, index).to(at::kFloat);
  batch.ids_BL = at::where(drop_B1, data.empty_ids_L.unsqueeze(0), data.ids_NL.index_select(0, index));
  batch.sigma_B = at::sigmoid(normal_noise(seed, Purpose::training_sigma, slots, at_step, {1}).squeeze(1));
  batch.noise = normal_noise(seed, Purpose::training_noise, slots, at_step, batch.x0.sizes().slice(1));
  return batch;
}

at::Tensor flow_loss(const Blueprint& blueprint, const TensorMap& weights, const Batch& b) {
  std::vector<int64_t> per_sample(static_cast<size_t>(b.x0.dim()), 1);
  per_sample[0] = -1;
  const auto sigma = b.sigma_B.view(per_sample);
  const auto x = (1.0 - sigma) * b.x0 + sigma * b.noise;
  const auto v = blueprint.velocity(weights, x, b.sigma_B, b.ids_BL);
  return (v.to(at::kFloat) - (b.noise - b.x0)).square().mean();
}

class FlowTrainee final : public Trainee {
 public:
  explicit FlowTrainee(const Pretraining& pretraining)
      : p_(pretraining),
        o_(pretraining.options),
        parameters_(leaves(p_.blueprint.initial_flow(static_cast<uint64_t>(o_.seed)))),
        average_(cloned(parameters_)) {}

  Metrics iterate(int64_t step) override {
    if (!data_) data_ = prepare_data(p_);
    const auto loss =
        flow_loss(p_.blueprint, cast(parameters_, dtype_named(o_.dtype)), draw_batch(o_, *data_, step));
    const double norm = update(step, gradients_of(loss, parameters_));
    const double now = loss.item<double>();
    if (std::isfinite(now)) mean_loss_ = mean_loss_ == 0.0 ? now : 0.99 * mean_loss_ + 0.01 * now;
    Metrics metrics = {{"loss", now}, {"mean_loss", mean_loss_}, {"grad_norm", norm}};
    skipped_.skips(norm, step, metrics);
    return metrics;
  }

  void state(RunState& state) override {
    state.tensors("parameters", parameters_);
    state.tensors("average", average_);
    auto adamw = adamw_.state(), muon = muon_.state();
    state.tensors("adamw", adamw);
    state.tensors("muon", muon);
    state.number("mean_loss", mean_loss_);
    skipped_.state(state);
    if (!state.reads()) return;
    parameters_ = leaves(parameters_);
    adamw_.load_state(adamw);
    muon_.load_state(muon);
  }

  std::vector<Event> take_events() override { return skipped_.take(); }
  int64_t skipped() const { return skipped_.count(); }

  // Whoever looks before the end finds a model that can be used.
  void saved() override { write(); }

  void write() const { p_.blueprint.write_flow(p_.folder, average_, dtype_named(o_.save_dtype)); }

 private:
  // The gradients' norm; an update that is not finite is skipped.
  double update(int64_t step, TensorMap gradients) {
    const double norm = clip_gradients(gradients, o_.flow.max_grad_norm);
    if (!std::isfinite(norm)) return norm;
    TensorMap matrices, others;
    for (const auto& [name, gradient] : gradients)
      (gradient.dim() == 2 && p_.blueprint.is_block_matrix(name) ? matrices : others)[name] = gradient;
    const double factor =
        learning_rate_factor(step, o_.flow.steps, o_.flow.warmup_steps, o_.flow.decay_fraction);
    muon_.step(parameters_, matrices, o_.flow.muon_learning_rate * factor);
    adamw_.step(parameters_, others, o_.flow.learning_rate * factor);
    ema_update(average_, parameters_, o_.flow.ema_decay);
    return norm;
  }

  const Pretraining& p_;
  const PretrainOptions& o_;
  std::optional<FlowData> data_;  // made when the first update asks for it
  TensorMap parameters_, average_;
  AdamW adamw_{{0.9, 0.98, 1e-8, 0.0}};
  Muon muon_{{}};
  SkippedUpdates skipped_{"flow", "/flow/learning_rate or /flow/muon_learning_rate"};
  double mean_loss_ = 0.0;  // of the last hundred or so updates, for the eye
};

}  // namespace

int64_t train_flow(const Pretraining& p) {
  const int64_t steps = p.options.flow.steps;
  FlowTrainee trainee(p);
  TrainingRun(
      stage_plan(p.options, "flow", p.options.output, steps, "mean_loss", pretrain_identity(p.options)),
      trainee, std::nullopt, p.observer)
      .run();
  require_some_update(trainee.skipped(), steps, "/flow/learning_rate");
  trainee.write();
  return trainee.skipped();
}

}  // namespace thalweg
