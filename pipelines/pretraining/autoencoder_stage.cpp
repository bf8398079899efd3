// Kingma & Welling 2014 (arXiv 1312.6114) with an L1 + L2 reconstruction, as small latent-diffusion VAEs are
// trained.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include "engine/core/dtypes.h"
#include "engine/core/rng.h"
#include "engine/optim/adamw.h"
#include "engine/optim/gradients.h"
#include "engine/weights/safetensors.h"
#include "pipelines/pretraining/skipped_updates.h"
#include "pipelines/pretraining/stages.h"
#include "pipelines/training/run.h"

namespace thalweg {
namespace {

struct Posterior {
  at::Tensor mean, log_variance;
};

Posterior posterior(const at::Tensor& moments_BCHW) {
  const auto parts = moments_BCHW.to(at::kFloat).chunk(2, 1);
  return {parts[0], parts[1].clamp(-30.0, 20.0)};
}

at::Tensor vae_loss(const AutoencoderKl& vae, const at::Tensor& x_BCHW, const at::Tensor& noise,
                    double kl_weight, at::ScalarType dtype) {
  const auto q = posterior(vae.encode_moments(x_BCHW.to(dtype)));
  const auto z = q.mean + (q.log_variance * 0.5).exp() * noise;
  const auto error = vae.decode(z.to(dtype)).to(at::kFloat) - x_BCHW;
  const auto kl = (q.mean.square() + q.log_variance.exp() - 1.0 - q.log_variance).mean() * 0.5;
  return error.abs().mean() + error.square().mean() + kl * kl_weight;
}

std::vector<int64_t> batch_indices(const PretrainOptions& options, int64_t step, int64_t batch) {
  std::vector<int64_t> indices;
  for (int64_t row = 0; row < batch; ++row)
    indices.push_back(
        static_cast<int64_t>(random_bits(static_cast<uint64_t>(options.seed), Purpose::data,
                                         static_cast<uint64_t>(row), static_cast<uint64_t>(step)) %
                             static_cast<uint64_t>(options.data.images)));
  return indices;
}

std::vector<int64_t> first_rows(int64_t count) {
  std::vector<int64_t> rows(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) rows[static_cast<size_t>(i)] = i;
  return rows;
}

class AutoencoderTrainee final : public Trainee {
 public:
  AutoencoderTrainee(const PretrainOptions& options, const AutoencoderKlConfig& config)
      : o_(options), config_(config) {
    Binder declare;
    AutoencoderKl::bind(config_, declare);
    parameters_ = leaves(initial_parameters(declare.specs(), static_cast<uint64_t>(o_.seed)));
  }

  Metrics iterate(int64_t step) override {
    const auto dtype = dtype_named(o_.dtype);
    const auto x = training_pictures(o_, batch_indices(o_, step, o_.vae.batch_size));
    const int64_t side = o_.data.size / config_.factor();
    const auto noise =
        normal_noise(static_cast<uint64_t>(o_.seed), Purpose::posterior, first_rows(o_.vae.batch_size),
                     static_cast<uint64_t>(step), {config_.latent_channels, side, side});
    const double kl = 2 * step < o_.vae.steps ? o_.vae.kl_weight : o_.vae.final_kl_weight;
    const auto loss = vae_loss(bound(cast(parameters_, dtype)), x, noise, kl, dtype);
    auto gradients = gradients_of(loss, parameters_);
    const double norm = clip_gradients(gradients, 1.0);
    Metrics metrics = {{"loss", loss.item<double>()}, {"grad_norm", norm}};
    if (skipped_.skips(norm, step, metrics)) return metrics;
    adamw_.step(parameters_, gradients,
                o_.vae.learning_rate * learning_rate_factor(step, o_.vae.steps, 50, 0.5));
    return metrics;
  }

  void state(RunState& state) override {
    state.tensors("parameters", parameters_);
    auto moments = adamw_.state();
    state.tensors("adamw", moments);
    skipped_.state(state);
    if (!state.reads()) return;
    parameters_ = leaves(parameters_);
    adamw_.load_state(moments);
  }

  std::vector<Event> take_events() override { return skipped_.take(); }
  int64_t skipped() const { return skipped_.count(); }

  // Latents enter the flow with mean 0 and standard deviation 1.
  void write(const std::filesystem::path& folder) const {
    c10::NoGradGuard no_grad;
    const auto vae = bound(parameters_);
    std::vector<at::Tensor> means;
    for (int64_t step = 0; step < 16; ++step)
      means.push_back(posterior(vae.encode_moments(training_pictures(o_, batch_indices(o_, step, 64)))).mean);
    const auto all = at::cat(means);
    Json config = {{"_class_name", "AutoencoderKL"}};
    config.update(o_.architecture.at("vae"));
    config["shift_factor"] = all.mean().item<double>();
    config["scaling_factor"] = 1.0 / all.std().item<double>();
    std::filesystem::create_directories(folder);
    write_file(folder / "config.json", config.dump(2) + "\n");
    write_safetensors(folder / "diffusion_pytorch_model.safetensors",
                      cast(parameters_, dtype_named(o_.save_dtype)), {{"format", "pt"}});
  }

 private:
  AutoencoderKl bound(const TensorMap& tensors) const {
    return AutoencoderKl::bind(config_, Binder(tensors, "vae"));
  }

  const PretrainOptions& o_;
  const AutoencoderKlConfig& config_;
  TensorMap parameters_;
  AdamW adamw_{{0.9, 0.99, 1e-8, 0.0}};
  SkippedUpdates skipped_{"vae", "/vae/learning_rate"};
};

}  // namespace

int64_t train_autoencoder(const PretrainOptions& o, const Sd3Parts& parts,
                          const std::filesystem::path& folder, const Observer& observer) {
  const auto run = std::filesystem::path(o.output) / "vae";
  AutoencoderTrainee trainee(o, parts.vae);
  TrainingRun(stage_plan(o, "vae", run, o.vae.steps, "loss"), trainee, std::nullopt, observer).run();
  require_some_update(trainee.skipped(), o.vae.steps, "/vae/learning_rate");
  trainee.write(folder / "vae");
  return trainee.skipped();
}

}  // namespace thalweg
