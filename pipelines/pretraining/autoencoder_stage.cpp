// Kingma & Welling 2014 (arXiv 1312.6114) with an L1 + L2 reconstruction, as small latent-diffusion VAEs are
// trained.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include "engine/core/dtypes.h"
#include "engine/core/rng.h"
#include "engine/optim/adamw.h"
#include "engine/optim/gradients.h"
#include "engine/weights/safetensors.h"
#include "pipelines/pretraining/stages.h"

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

}  // namespace

void train_autoencoder(const PretrainOptions& o, const Sd3Parts& parts, const std::filesystem::path& folder,
                       const Observer& observer) {
  const auto weights = folder / "vae" / "diffusion_pytorch_model.safetensors";
  if (std::filesystem::exists(weights)) return;  // written last: this stage is done
  const auto dtype = dtype_named(o.dtype);
  const auto seed = static_cast<uint64_t>(o.seed);
  Binder declare;
  AutoencoderKl::bind(parts.vae, declare);
  auto parameters = leaves(initial_parameters(declare.specs(), seed));
  AdamW adamw({0.9, 0.99, 1e-8, 0.0});
  const auto bound = [&](const TensorMap& tensors) {
    return AutoencoderKl::bind(parts.vae, Binder(tensors, "vae"));
  };
  for (int64_t step = 0; step < o.vae.steps; ++step) {
    const auto x = training_pictures(o, batch_indices(o, step, o.vae.batch_size));
    const int64_t side = o.data.size / parts.vae.factor();
    const auto noise = normal_noise(seed, Purpose::posterior, first_rows(o.vae.batch_size),
                                    static_cast<uint64_t>(step), {parts.vae.latent_channels, side, side});
    const double kl = 2 * step < o.vae.steps ? o.vae.kl_weight : o.vae.final_kl_weight;
    const auto loss = vae_loss(bound(cast(parameters, dtype)), x, noise, kl, dtype);
    auto gradients = gradients_of(loss, parameters);
    clip_gradients(gradients, 1.0);
    adamw.step(parameters, gradients, o.vae.learning_rate * learning_rate_factor(step, o.vae.steps, 50, 0.5));
    observer.progress("vae", step + 1, o.vae.steps, {{"loss", loss.item<double>()}});
    if (observer.stop_requested()) throw Stopped{};  // minutes of work at most: not worth a checkpoint
  }
  // Latents enter the flow with mean 0 and standard deviation 1.
  c10::NoGradGuard no_grad;
  const auto vae = bound(parameters);
  std::vector<at::Tensor> means;
  for (int64_t step = 0; step < 16; ++step)
    means.push_back(posterior(vae.encode_moments(training_pictures(o, batch_indices(o, step, 64)))).mean);
  const auto all = at::cat(means);
  Json config = {{"_class_name", "AutoencoderKL"}};
  config.update(o.architecture.at("vae"));
  config["shift_factor"] = all.mean().item<double>();
  config["scaling_factor"] = 1.0 / all.std().item<double>();
  std::filesystem::create_directories(folder / "vae");
  write_file(folder / "vae" / "config.json", config.dump(2) + "\n");
  write_safetensors(weights, cast(parameters, dtype_named(o.save_dtype)), {{"format", "pt"}});
}

}  // namespace thalweg
