// Kingma & Welling 2014 (arXiv 1312.6114) with an L1 + L2 reconstruction, as small latent-diffusion VAEs are
// trained.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include "engine/core/dtypes.h"
#include "engine/core/rng.h"
#include "engine/optim/adamw.h"
#include "engine/optim/gradients.h"
#include "engine/optim/muon.h"
#include "pipelines/pretraining/parts.h"
#include "pipelines/pretraining/skipped_updates.h"
#include "pipelines/pretraining/stages.h"

namespace thalweg {
namespace {

struct Posterior {
  at::Tensor mean, log_variance;
};

Posterior posterior(const at::Tensor& moments) {
  const auto parts = moments.to(at::kFloat).chunk(2, 1);
  return {parts[0], parts[1].clamp(-30.0, 20.0)};
}

/// Worlds have a ground of 0.94 or more in every channel, and colours that have less in one.
at::Tensor object_weights(const at::Tensor& x_BF3HW, double weight) {
  constexpr double kGround = 0.84 * 2.0 - 1.0;
  return x_BF3HW.amin(2, /*keepdim=*/true).lt(kGround).to(at::kFloat).mul_(weight - 1.0).add_(1.0);
}

at::Tensor vae_loss(const Autoencoder& vae, const at::Tensor& x_BF3HW, const at::Tensor& noise,
                    double kl_weight, double object_weight, at::ScalarType dtype) {
  const auto q = posterior(vae.moments(x_BF3HW.to(dtype)));
  const auto z = q.mean + (q.log_variance * 0.5).exp() * noise;
  const auto error = vae.decode(z.to(dtype)).to(at::kFloat) - x_BF3HW;
  const auto kl = (q.mean.square() + q.log_variance.exp() - 1.0 - q.log_variance).mean() * 0.5;
  if (object_weight == 1.0) return error.abs().mean() + error.square().mean() + kl * kl_weight;
  const auto weights = object_weights(x_BF3HW, object_weight);
  return (error.abs() * weights).mean() + (error.square() * weights).mean() + kl * kl_weight;
}

std::vector<int64_t> first_rows(int64_t count) {
  std::vector<int64_t> rows(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) rows[static_cast<size_t>(i)] = i;
  return rows;
}

/// A kernel as the matrix that it is to each window, over the same memory.
bool is_kernel(const std::string& name, const at::Tensor& tensor) {
  return tensor.dim() >= 4 && name.ends_with(".weight");
}

class AutoencoderTrainee final : public Trainee {
 public:
  explicit AutoencoderTrainee(const Pretraining& pretraining)
      : o_(pretraining.options),
        world_(pretraining.world),
        blueprint_(pretraining.blueprint),
        parameters_(leaves(blueprint_.initial_autoencoder(static_cast<uint64_t>(o_.seed)))) {}

  Metrics iterate(int64_t step) override {
    const auto dtype = dtype_named(o_.dtype);
    const auto x = batch(step, o_.vae.batch_size, o_.vae.crowded);
    const auto noise =
        normal_noise(static_cast<uint64_t>(o_.seed), Purpose::posterior, first_rows(o_.vae.batch_size),
                     static_cast<uint64_t>(step), blueprint_.latent_sizes());
    const double kl = 2 * step < o_.vae.steps ? o_.vae.kl_weight : o_.vae.final_kl_weight;
    const auto loss =
        vae_loss(blueprint_.autoencoder(cast(parameters_, dtype)), x, noise, kl, o_.vae.object_weight, dtype);
    auto gradients = gradients_of(loss, parameters_);
    const double norm = clip_gradients(gradients, 1.0);
    Metrics metrics = {{"loss", loss.item<double>()}, {"grad_norm", norm}};
    if (!skipped_.skips(norm, step, metrics)) update(step, gradients);
    return metrics;
  }

  void state(RunState& state) override {
    state.tensors("parameters", parameters_);
    auto adamw = adamw_.state(), muon = muon_.state();
    state.tensors("adamw", adamw);
    if (o_.vae.muon_learning_rate > 0.0) state.tensors("muon", muon);
    skipped_.state(state);
    if (!state.reads()) return;
    parameters_ = leaves(parameters_);
    adamw_.load_state(adamw);
    muon_.load_state(muon);
  }

  std::vector<Event> take_events() override { return skipped_.take(); }
  int64_t skipped() const { return skipped_.count(); }

  /// Latents enter the flow with mean 0 and standard deviation 1.
  void write(const std::filesystem::path& folder) const {
    c10::NoGradGuard no_grad;
    const auto vae = blueprint_.autoencoder(parameters_);
    std::vector<at::Tensor> means;
    for (int64_t step = 0; step < 16; ++step)
      means.push_back(posterior(vae.moments(batch(step, 64, 0.0))).mean);
    std::filesystem::create_directories(folder);
    write_file(folder / "config.json", blueprint_.autoencoder_config(at::cat(means)).dump(2) + "\n");
    write_component(folder, "diffusion_pytorch_model", cast(parameters_, dtype_named(o_.save_dtype)));
  }

 private:
  at::Tensor batch(int64_t step, int64_t rows, double crowded_share) const {
    const auto seed = static_cast<uint64_t>(o_.seed), at_step = static_cast<uint64_t>(step);
    std::vector<int64_t> indices;
    std::vector<bool> crowded;
    for (int64_t row = 0; row < rows; ++row) {
      const auto slot = static_cast<uint64_t>(row);
      indices.push_back(static_cast<int64_t>(random_bits(seed, Purpose::data, slot, at_step) %
                                             static_cast<uint64_t>(o_.data.images)));
      crowded.push_back(random_uniform(seed, Purpose::dropout, slot, at_step) < crowded_share);
    }
    return training_frames(o_, world_, indices, crowded);
  }

  void update(int64_t step, const TensorMap& gradients) {
    const double factor = learning_rate_factor(step, o_.vae.steps, 50, 0.5);
    TensorMap others, kernels, kernel_gradients;
    for (const auto& [name, gradient] : gradients) {
      if (o_.vae.muon_learning_rate == 0.0 || !is_kernel(name, gradient)) {
        others[name] = gradient;
        continue;
      }
      kernels[name] = parameters_.at(name).detach().flatten(1);
      kernel_gradients[name] = gradient.flatten(1);
    }
    adamw_.step(parameters_, others, o_.vae.learning_rate * factor);
    muon_.step(kernels, kernel_gradients, o_.vae.muon_learning_rate * factor);
  }

  const PretrainOptions& o_;
  const World& world_;
  const Blueprint& blueprint_;
  TensorMap parameters_;
  AdamW adamw_{{0.9, 0.99, 1e-8, 0.0}};
  Muon muon_{{}};
  SkippedUpdates skipped_{"vae", "/vae/learning_rate"};
};

}  // namespace

int64_t train_autoencoder(const Pretraining& p) {
  const auto run = std::filesystem::path(p.options.output) / "vae";
  const int64_t steps = p.options.vae.steps;
  AutoencoderTrainee trainee(p);
  TrainingRun(stage_plan(p.options, "vae", run, steps, "loss", autoencoder_identity(p.options)), trainee,
              std::nullopt, p.observer)
      .run();
  require_some_update(trainee.skipped(), steps, "/vae/learning_rate");
  trainee.write(p.folder / "vae");
  return trainee.skipped();
}

}  // namespace thalweg
