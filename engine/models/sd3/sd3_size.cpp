#include "engine/models/sd3/sd3_size.h"

#include <algorithm>

#include "engine/core/error.h"
#include "engine/models/sd3/transformer.h"
#include "engine/models/text/clip_text_encoder.h"
#include "engine/models/vae/autoencoder_kl.h"
#include "engine/weights/folder.h"
#include "engine/weights/stored_size.h"

namespace thalweg {
namespace {

// Elements a block keeps for each token and unit of width. Counted from run_block (inputs of the layers, q,
// k, v before and after norm and joining, 4 + 4 of the feed-forward, modulated and normalised copies) and
// then fitted to the peaks that docs/results/plan.md lists.
constexpr double kSavedPerToken = 34.0, kForwardPerToken = 20.0;
// The same where the weights are frozen: q, k, v and the result of the attention, the inputs of the two norms
// and of the feed-forward's activation (4).
constexpr double kSavedForInputPerToken = 12.0;
constexpr double kDecodePerPixel = 4.0;       // of the widest feature map at full size
constexpr int64_t kFusedAttentionFrom = 128;  // tokens from which attention keeps no probabilities

ComponentSize component_size(const ModelFolder& folder, const std::string& name) {
  const auto stored = stored_size(component_files(folder, name));
  return {name, static_cast<double>(stored.parameters), static_cast<double>(stored.bytes)};
}

double elements_of(const std::vector<int64_t>& shape) {
  double n = 1.0;
  for (const auto side : shape) n *= static_cast<double>(side);
  return n;
}

// How many tokens of a sample pass through the matrix of that name.
double tokens_through(const std::string& name, double image, double text) {
  const auto has = [&](const char* part) { return name.find(part) != std::string::npos; };
  if (has("time_text_embed") || has("norm1") || has("norm_out")) return 1.0;
  if (has("add_") || has("context")) return text;
  return image;
}

double decode_flops(const AutoencoderKlConfig& c, double latent_area) {
  double flops = 0.0, area = latent_area;
  auto channels = c.block_out_channels;
  std::reverse(channels.begin(), channels.end());
  double in = static_cast<double>(channels.front());
  flops += 4.0 * 9.0 * in * in * 2.0 * area;  // the middle block's two residual blocks
  for (size_t level = 0; level < channels.size(); ++level) {
    const auto out = static_cast<double>(channels[level]);
    flops +=
        2.0 * 9.0 * area * (in * out + (2.0 * static_cast<double>(c.layers_per_block) + 1.0) * out * out);
    if (level + 1 < channels.size()) {
      area *= 4.0;
      flops += 2.0 * 9.0 * area * out * out;  // after upsampling
    }
    in = out;
  }
  return flops;
}

// What its backward needs: the input of each norm and of each convolution.
double decode_saved_elements(const AutoencoderKlConfig& c, double latent_area) {
  double area = latent_area;
  auto channels = c.block_out_channels;
  std::reverse(channels.begin(), channels.end());
  double in = static_cast<double>(channels.front());
  double elements = 2.0 * 4.0 * in * area;  // the middle block's two residual blocks
  for (size_t level = 0; level < channels.size(); ++level) {
    const auto out = static_cast<double>(channels[level]);
    elements += (2.0 * in + 2.0 * out + 4.0 * static_cast<double>(c.layers_per_block) * out) * area;
    if (level + 1 < channels.size()) {
      area *= 4.0;
      elements += out * area;  // after upsampling
    }
    in = out;
  }
  return elements + 2.0 * in * area;
}

void add_backbone(const Sd3TransformerConfig& c, double image, double text, ModelSize& size) {
  const auto width = static_cast<double>(c.width()), layers = static_cast<double>(c.num_layers);
  for (const auto& spec : size.specs)
    if (spec.shape.size() >= 2 && spec.init != Init::fixed)
      size.forward_flops += 2.0 * elements_of(spec.shape) * tokens_through(spec.name, image, text);
  const double tokens = image + text;
  const auto dual = static_cast<double>(c.dual_attention_layers.size());
  size.forward_flops += 4.0 * width * (layers * tokens * tokens + dual * image * image);
  // Dual attention repeats about a third of a block on the image's tokens.
  size.saved_elements = kSavedPerToken * width * (layers * tokens + dual * image / 3.0);
  size.saved_for_input_elements = size.saved_elements * kSavedForInputPerToken / kSavedPerToken;
  size.forward_elements = kForwardPerToken * width * tokens;
  if (tokens <= static_cast<double>(kFusedAttentionFrom)) {
    const double probabilities = static_cast<double>(c.num_attention_heads) * tokens * tokens;
    size.saved_elements += 2.0 * layers * probabilities;
    size.saved_for_input_elements += layers * probabilities;
    size.forward_elements += 2.0 * probabilities;
  }
  size.prompt_elements =
      text * static_cast<double>(c.joint_attention_dim) + static_cast<double>(c.pooled_projection_dim);
  size.default_lora_targets = sd3_default_lora_targets(c);
}

}  // namespace

ModelSize sd3_size(const std::filesystem::path& path, const ModelOptions& options, int64_t height,
                   int64_t width) {
  const auto folder = open_model_folder(path, options.variant);
  const auto config = parse_sd3_transformer_config(component_config(folder, "transformer"),
                                                   folder.root / "transformer" / "config.json");
  const auto vae = AutoencoderKl::parse(component_config(folder, "vae"), folder.root / "vae" / "config.json");
  ModelSize size;
  Binder declare;
  Sd3Transformer::bind(config, declare);
  size.specs = declare.specs();
  size.backbone = component_size(folder, "transformer");
  size.vae = component_size(folder, "vae");
  double clip_tokens = 0.0;
  for (const char* name : {"text_encoder", "text_encoder_2", "text_encoder_3"}) {
    if (!has_component(folder, name)) continue;
    const auto json = component_config(folder, name);
    const auto encoder = component_size(folder, name);
    double tokens = static_cast<double>(options.max_sequence_length);
    if (std::string(name) != "text_encoder_3") {
      const auto clip = ClipTextEncoder::parse(json, folder.root / name / "config.json");
      tokens = static_cast<double>(clip.max_position_embeddings);
      clip_tokens = std::max(clip_tokens, tokens);
    }
    size.encode_flops += 2.0 * encoder.parameters * tokens;
    size.text_encoders.push_back(encoder);
  }
  const double text = clip_tokens + static_cast<double>(options.max_sequence_length);
  const double latent_area =
      static_cast<double>(height / vae.factor()) * static_cast<double>(width / vae.factor());
  const double image = latent_area / static_cast<double>(config.patch_size * config.patch_size);
  add_backbone(config, image, text, size);
  const double pixels = static_cast<double>(height) * static_cast<double>(width);
  const auto& channels = vae.block_out_channels;
  const auto widest =
      static_cast<double>(std::max(channels.front(), channels[std::min<size_t>(1, channels.size() - 1)]));
  size.decode_flops = decode_flops(vae, latent_area);
  size.decode_saved_elements = decode_saved_elements(vae, latent_area);
  size.decode_elements = kDecodePerPixel * widest * pixels;
  size.decode_rows = static_cast<double>(vae.pictures_at_once(height, width));
  size.latent_elements = latent_area * static_cast<double>(config.in_channels);
  size.frame_elements = 3.0 * pixels;
  return size;
}

}  // namespace thalweg
