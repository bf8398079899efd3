#include <ATen/core/Tensor.h>

#include <algorithm>

#include "engine/core/json.h"
#include "engine/models/mixture/mixture_config.h"
#include "engine/models/schedulers/unipc.h"
#include "engine/models/sd3/transformer.h"
#include "engine/models/text/clip_text_encoder.h"
#include "engine/models/vae/autoencoder_kl.h"
#include "engine/models/wan/autoencoder_kl_wan.h"
#include "engine/models/wan/transformer.h"
#include "tests/fuzz/targets.h"

namespace thalweg::fuzz {

void config(std::string_view input) {
  if (input.empty()) return;
  accepted([&] {
    const auto json = parse_json(input.substr(1), "config.json");
    switch (input.front()) {
      case 't': {
        const auto c = parse_sd3_transformer_config(json, "config.json");
        require(c.width() % 4 == 0 && c.sample_size >= c.patch_size, "a transformer's sizes fit");
        return;
      }
      case 'm': {
        const auto c = parse_mixture_config(json, "config.json");
        require(c.mixtures.size() == c.prompts.size() + 1 && c.components() <= 256,
                "a mixture for each prompt");
        return;
      }
      case 'v': {
        const auto c = AutoencoderKl::parse(json, "config.json");
        require(c.factor() >= 1 && c.factor() <= 128, "a VAE has 1 to 8 levels");
        return;
      }
      case 'w': {
        const auto c = WanTransformer::parse(json, "config.json");
        require(c.attention_head_dim % 2 == 0 && c.patch_size.size() == 3,
                "positions fit a head, patches a grid");
        return;
      }
      case 'a': {
        const auto c = AutoencoderKlWan::parse(json, "config.json");
        require(c.temporal.size() + 1 == c.dim_mult.size() && c.factor() <= 128,
                "a halving between two levels");
        require(c.latents_std.size() == static_cast<size_t>(c.z_dim), "a scale for each channel");
        return;
      }
      case 'u': {
        const auto levels = unipc_schedule(parse_unipc(json, "config.json"), 4).sigmas;
        require(std::is_sorted(levels.rbegin(), levels.rend()) && levels.back() == 0.0, "levels fall to 0");
        return;
      }
      default: {
        const auto c = ClipTextEncoder::parse(json, "config.json");
        require(c.hidden_size % c.num_attention_heads == 0, "heads divide the width");
      }
    }
  });
}

}  // namespace thalweg::fuzz
