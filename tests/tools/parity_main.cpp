// parity KIND FOLDER IN.safetensors OUT.safetensors: runs one component of a model folder on given inputs,
// for the tests that compare it with its Python original. FOLDER is the component's own folder (config.json
// and weights). A further component is one function and one row of the table at the end.
#include <ATen/ATen.h>

#include <filesystem>
#include <numeric>

#include "engine/core/error.h"
#include "engine/core/json.h"
#include "engine/core/rng.h"
#include "engine/io/picture.h"
#include "engine/models/flux/transformer.h"
#include "engine/models/schedulers/flow_match_euler.h"
#include "engine/models/sd3/sd3_schedule.h"
#include "engine/models/sd3/transformer.h"
#include "engine/models/text/clip_text_encoder.h"
#include "engine/models/text/t5_encoder.h"
#include "engine/models/vae/autoencoder_kl.h"
#include "engine/models/vision/clip_model.h"
#include "engine/models/vision/image_processor.h"
#include "engine/weights/safetensors.h"
#include "samplers/schedules/flux.h"
#include "samplers/schedules/karras.h"
#include "samplers/schedules/linear.h"
#include "samplers/schedules/shifted.h"
#include "tests/tools/parity.h"

namespace {

using namespace thalweg;
using std::filesystem::path;

/// numbers: steps, shift, tokens, rho, sigma_min -> the schedules of samplers/schedules, and SD3's.
TensorMap schedules(const path&, const TensorMap& inputs) {
  const auto numbers = input(inputs, "numbers").to(at::kDouble).contiguous();
  const double* n = numbers.const_data_ptr<double>();
  const auto steps = static_cast<int64_t>(n[0]);
  const auto sigmas = [](const Schedule& schedule) { return at::tensor(schedule.sigmas, at::kDouble); };
  return {{"linear", sigmas(linear_schedule(steps))},
          {"shifted", sigmas(shifted_schedule(steps, n[1]))},
          {"sd3", sigmas(sd3_schedule(steps, n[1]))},
          {"flux", sigmas(flux_schedule(steps, static_cast<int64_t>(n[2])))},
          {"karras", sigmas(karras_schedule(steps, n[3], n[4]))}};
}

/// numbers: rows of steps, tokens -> the noise levels that scheduler_config.json asks for, by the row's
/// number.
TensorMap flow_match(const path& folder, const TensorMap& inputs) {
  const auto numbers = input(inputs, "numbers").to(at::kLong).contiguous();
  const auto* n = numbers.const_data_ptr<int64_t>();
  const auto file = folder / "scheduler_config.json";
  const auto scheduler = parse_flow_match_euler(parse_json_file(file), file);
  TensorMap levels;
  for (int64_t i = 0; i < numbers.size(0); ++i, n += 2)
    levels[std::to_string(i)] =
        at::tensor(flow_match_schedule(scheduler, n[0], n[1], file).sigmas, at::kDouble);
  return levels;
}

/// z: raw latents -> pictures.
TensorMap vae_decode(const path& folder, const TensorMap& inputs) {
  return {{"pictures", load<AutoencoderKl>(folder, "diffusion_pytorch_model").decode(input(inputs, "z"))}};
}

/// x: pictures -> moments, and their mean as the flow sees it.
TensorMap vae_encode(const path& folder, const TensorMap& inputs) {
  const auto vae = load<AutoencoderKl>(folder, "diffusion_pytorch_model");
  const auto moments = vae.encode_moments(input(inputs, "x"));
  const auto scaled = vae.scaled(moments.chunk(2, 1)[0]);
  return {{"moments", moments}, {"scaled", scaled}, {"unscaled", vae.unscaled(scaled)}};
}

/// ids -> the three features.
TensorMap clip_text(const path& folder, const TensorMap& inputs) {
  const auto features = load<ClipTextEncoder>(folder, "model")(input(inputs, "ids"));
  return {
      {"penultimate", features.penultimate_BLD}, {"last", features.last_BLD}, {"pooled", features.pooled_BP}};
}

/// ids, pixels -> both towers' features.
TensorMap clip(const path& folder, const TensorMap& inputs) {
  const auto model = load_clip_model(folder);
  return {{"text_embeds", model.text(input(inputs, "ids")).pooled_BP},
          {"image_embeds", model.vision(input(inputs, "pixels"))},
          {"logit_scale", model.logit_scale}};
}

/// Pictures [3,H,W] by any name -> what a vision tower gets of each.
TensorMap image_processor(const path& folder, const TensorMap& inputs) {
  const auto processor = ImageProcessor::load(folder);
  TensorMap pixels;
  for (const auto& [name, frame_3HW] : inputs) {
    pixels["exact/" + name] = processor.exact(frame_3HW);
    pixels["smooth/" + name] = processor.smooth(frame_3HW);
  }
  return pixels;
}

/// ids -> features, computed in the dtype of the tensor "dtype".
TensorMap t5(const path& folder, const TensorMap& inputs) {
  const auto config_path = folder / "config.json";
  const auto config = T5Encoder::parse(parse_json_file(config_path), config_path);
  auto weights = t5_encoder_weights(read_weights(folder, "model"), folder.string());
  for (auto& [name, tensor] : weights) tensor = tensor.to(input(inputs, "dtype").scalar_type());
  Binder binder(weights, folder.string());
  const auto encoder = T5Encoder::bind(config, binder);
  binder.finish();
  return {{"features", encoder(input(inputs, "ids"))}};
}

/// x, timestep (1000 sigma), prompt_embeds, pooled -> velocity.
TensorMap sd3_transformer(const path& folder, const TensorMap& inputs) {
  const auto config_path = folder / "config.json";
  const auto config = parse_sd3_transformer_config(parse_json_file(config_path), config_path);
  const auto weights = read_weights(folder, "diffusion_pytorch_model");
  Binder binder(weights, folder.string());
  const auto transformer = Sd3Transformer::bind(config, binder);
  binder.finish();
  return {{"velocity", transformer(input(inputs, "x"), input(inputs, "timestep"),
                                   input(inputs, "prompt_embeds"), input(inputs, "pooled"))},
          {"position_table", sd3_position_table(config)}};
}

/// x, timestep (1000 sigma), guidance, prompt_embeds, pooled -> velocity.
TensorMap flux_transformer(const path& folder, const TensorMap& inputs) {
  const auto transformer = load<FluxTransformer>(folder, "diffusion_pytorch_model");
  return {{"velocity", transformer(input(inputs, "x"), input(inputs, "timestep"), input(inputs, "guidance"),
                                   input(inputs, "prompt_embeds"), input(inputs, "pooled"))}};
}

/// Every file of the folder, by its name.
TensorMap pictures(const path& folder, const TensorMap&) {
  TensorMap pictures;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    pictures[entry.path().filename().string()] = read_picture(entry.path());
  return pictures;
}

/// numbers: seed, and how many prompts of the shape of `shape` -> the noise that their held-out pictures
/// start from.
TensorMap evaluation_noise(const path&, const TensorMap& inputs) {
  const auto numbers = input(inputs, "numbers").to(at::kLong).contiguous();
  const auto* n = numbers.const_data_ptr<int64_t>();
  std::vector<int64_t> slots(static_cast<size_t>(n[1]));
  std::iota(slots.begin(), slots.end(), int64_t{0});
  return {{"noise", normal_noise(static_cast<uint64_t>(n[0]), Purpose::evaluation, slots, 0,
                                 input(inputs, "shape").sizes())}};
}

const Components& components() {
  static const Components table{
      {"clip", clip},
      {"clip-text", clip_text},
      {"evaluation-noise", evaluation_noise},
      {"flow-match", flow_match},
      {"flux-transformer", flux_transformer},
      {"image-processor", image_processor},
      {"pictures", pictures},
      {"schedules", schedules},
      {"t5", t5},
      {"transformer", sd3_transformer},
      {"vae-decode", vae_decode},
      {"vae-encode", vae_encode},
  };
  return table;
}

}  // namespace

int main(int argc, char** argv) {
  return run_components(components(), argc, argv);
}
