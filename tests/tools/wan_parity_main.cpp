// As parity_main.cpp: the parts of Wan, and the sampler that its folders name.
#include <torch/csrc/autograd/autograd.h>

#include "engine/models/schedulers/unipc.h"
#include "engine/models/wan/autoencoder_kl_wan.h"
#include "engine/models/wan/transformer.h"
#include "samplers/unipc.h"
#include "tests/tools/parity.h"

namespace {

using namespace thalweg;
using std::filesystem::path;

/// numbers: steps -> the noise levels that scheduler_config.json asks for, by their number.
TensorMap unipc(const path& folder, const TensorMap& inputs) {
  const auto numbers = input(inputs, "numbers").to(at::kLong).contiguous();
  const auto file = folder / "scheduler_config.json";
  const auto scheduler = parse_unipc(parse_json_file(file), file);
  TensorMap levels;
  for (int64_t i = 0; i < numbers.size(0); ++i) {
    const auto steps = numbers[i].item<int64_t>();
    levels[std::to_string(steps)] = at::tensor(unipc_schedule(scheduler, steps).sigmas, at::kDouble);
  }
  return levels;
}

/// x, sigmas -> where UniPC ends on the field of the test, v = 0.7 x - cos(2 x) (s + 0.3).
TensorMap unipc_sampler(const path&, const TensorMap& inputs) {
  const auto sigmas = input(inputs, "sigmas").to(at::kDouble).contiguous();
  SamplerInput in;
  in.schedule.sigmas.assign(sigmas.const_data_ptr<double>(),
                            sigmas.const_data_ptr<double>() + sigmas.numel());
  in.x_BCFHW = input(inputs, "x");
  in.slot_B.resize(static_cast<size_t>(in.x_BCFHW.size(0)));
  in.velocity = [](const at::Tensor& x, const Step& step, const Conditioning&) {
    return x * 0.7 - (x * 2.0).cos() * (step.sigma_B.view({-1, 1, 1, 1, 1}).to(x.scalar_type()) + 0.3);
  };
  return {{"x0", sample_unipc(in)}};
}

/// z: raw latents -> frames, whole and in chunks; x: frames -> moments, and their mean as the flow sees it.
TensorMap wan_vae(const path& folder, const TensorMap& inputs) {
  const auto vae = load<AutoencoderKlWan>(folder, "diffusion_pytorch_model");
  std::vector<at::Tensor> chunks;
  vae.decode_in_chunks(input(inputs, "z"), [&](const at::Tensor& x_BCFHW) { chunks.push_back(x_BCFHW); });
  const auto moments = vae.encode_moments(input(inputs, "x"));
  const auto scaled = vae.scaled(moments.chunk(2, 1)[0].contiguous());
  return {{"frames", vae.decode(input(inputs, "z")).contiguous()},
          {"chunked_frames", at::cat(chunks, 2).contiguous()},
          {"moments", moments.contiguous()},
          {"chunked_moments", vae.encode_moments_in_chunks(input(inputs, "x")).contiguous()},
          {"scaled", scaled.contiguous()},
          {"unscaled", vae.unscaled(scaled).contiguous()}};
}

/// x, timestep (1000 sigma), prompt_embeds -> velocity, computed in the dtype of the tensor "dtype"; and with
/// blocks that run again in the backward pass, whose gradient by x is the velocity's sum of squares'.
TensorMap wan_transformer(const path& folder, const TensorMap& inputs) {
  const auto config_path = folder / "config.json";
  const auto config = WanTransformer::parse(parse_json_file(config_path), config_path);
  auto weights = read_weights(folder, "diffusion_pytorch_model");
  for (auto& [name, tensor] : weights) tensor = tensor.to(input(inputs, "dtype").scalar_type());
  Binder binder(weights, folder.string());
  auto transformer = WanTransformer::bind(config, binder);
  binder.finish();
  const auto gradient = [&](const WanTransformer& network) {
    const c10::AutoGradMode with_gradients(true);
    const auto x = input(inputs, "x").detach().clone().requires_grad_();
    const auto v = network(x, input(inputs, "timestep"), input(inputs, "prompt_embeds"));
    return torch::autograd::grad({v.square().sum()}, {x})[0];
  };
  TensorMap result = {
      {"velocity", transformer(input(inputs, "x"), input(inputs, "timestep"), input(inputs, "prompt_embeds"))
                       .contiguous()},
      {"gradient", gradient(transformer)}};
  transformer.checkpoint_blocks();
  result["checkpointed_gradient"] = gradient(transformer);
  return result;
}

const Components& components() {
  static const Components table{
      {"unipc", unipc},
      {"unipc-sampler", unipc_sampler},
      {"wan-transformer", wan_transformer},
      {"wan-vae", wan_vae},
  };
  return table;
}

}  // namespace

int main(int argc, char** argv) {
  return run_components(components(), argc, argv);
}
