#include <ATen/core/Tensor.h>

#include "engine/core/json.h"
#include "engine/models/mixture/mixture_config.h"
#include "engine/models/sd3/transformer.h"
#include "engine/models/text/clip_text_encoder.h"
#include "engine/models/vae/autoencoder_kl.h"
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
      default: {
        const auto c = ClipTextEncoder::parse(json, "config.json");
        require(c.hidden_size % c.num_attention_heads == 0, "heads divide the width");
      }
    }
  });
}

}  // namespace thalweg::fuzz
