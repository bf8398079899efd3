// The embedded model's VAE caps every score that the model can reach: its reconstructions must pass the
// checks.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "engine/models/vae/autoencoder_kl.h"
#include "engine/weights/safetensors.h"
#include "pipelines/scenes/scene.h"
#include "plugins/scene/caption.h"
#include "plugins/scene/score.h"
#include "plugins/scene/verifier.h"

namespace thalweg {
namespace {

TEST(EmbeddedModel, ReconstructionsPassTheChecks) {
  constexpr int kCount = 256, kSize = 64;
  c10::NoGradGuard no_grad;
  const auto folder = std::filesystem::path(THALWEG_SOURCE_DIR) / "assets/models/tiny-sd3/vae";
  const auto config = AutoencoderKl::parse(parse_json_file(folder / "config.json"), folder / "config.json");
  auto weights = read_weights(folder, "diffusion_pytorch_model");
  for (auto& [name, tensor] : weights) tensor = tensor.to(at::kFloat);
  const auto vae = AutoencoderKl::bind(config, Binder(weights, folder.string()));
  auto pictures_B3HW = at::empty({kCount, 3, kSize, kSize});
  std::vector<std::string> captions;
  for (int i = 0; i < kCount; ++i) {
    const auto scene = scenes::random_scene(777, static_cast<uint64_t>(i));  // a seed that training never saw
    captions.push_back(scene.caption);
    scenes::render(scene, static_cast<uint64_t>(i), pictures_B3HW[i].mutable_data_ptr<float>(), kSize);
  }
  const auto latents = vae.encode_moments(pictures_B3HW * 2.0 - 1.0).chunk(2, 1)[0];
  const auto again_B3HW = frames_from_pictures(vae.decode(latents)).contiguous();
  scene::ObjectFinder finder;
  double strict = 0.0;
  for (int i = 0; i < kCount; ++i) {
    const auto& objects = finder.find(again_B3HW[i].const_data_ptr<float>(), kSize, kSize);
    const auto scores = scene::score_objects(objects, scene::parse_caption(captions[static_cast<size_t>(i)]));
    strict += scores[scene::kStrict] / kCount;
  }
  EXPECT_GE(strict, 0.97);
  const auto error = (again_B3HW - pictures_B3HW).square().mean().item<double>();
  EXPECT_GT(-10.0 * std::log10(error), 34.0) << "PSNR in dB";
}

}  // namespace
}  // namespace thalweg
