#include "engine/models/sd3/sd3_size.h"

#include <algorithm>

#include "engine/models/sd3/sd3_model.h"
#include "engine/models/size_parts.h"
#include "engine/models/text/clip_text_encoder.h"

namespace thalweg {
namespace {

// Elements a block keeps for each token and unit of width. Counted from run_block (inputs of the layers, q,
// k, v before and after norm and joining, 4 + 4 of the feed-forward, modulated and normalised copies) and
// then fitted to the peaks that docs/results/plan.md lists.
constexpr double kSavedPerToken = 34.0, kForwardPerToken = 20.0;
// The same where the weights are frozen: q, k, v and the result of the attention, the inputs of the two norms
// and of the feed-forward's activation (4).
constexpr double kSavedForInputPerToken = 12.0;

// How many tokens of a sample pass through the matrix of that name.
double tokens_through(const std::string& name, double image, double text) {
  const auto has = [&](const char* part) { return name.find(part) != std::string::npos; };
  if (has("time_text_embed") || has("norm1") || has("norm_out")) return 1.0;
  if (has("add_") || has("context")) return text;
  return image;
}

void add_backbone(const Sd3TransformerConfig& c, double image, double text, ModelSize& size) {
  const auto width = static_cast<double>(c.width()), layers = static_cast<double>(c.num_layers);
  const double tokens = image + text;
  const auto dual = static_cast<double>(c.dual_attention_layers.size());
  size.forward_flops =
      matrix_flops(size.specs, [&](const auto& name) { return tokens_through(name, image, text); }) +
      4.0 * width * dual * image * image;
  // Dual attention repeats about a third of a block on the image's tokens.
  size.saved_elements = kSavedPerToken * width * (layers * tokens + dual * image / 3.0);
  size.saved_for_input_elements = size.saved_elements * kSavedForInputPerToken / kSavedPerToken;
  size.forward_elements = kForwardPerToken * width * tokens;
  add_attention(layers, static_cast<double>(c.num_attention_heads), width, tokens, size);
  size.prompt_elements =
      text * static_cast<double>(c.joint_attention_dim) + static_cast<double>(c.pooled_projection_dim);
  size.default_lora_targets = sd3_default_lora_targets(c);
}

}  // namespace

ModelSize sd3_size(const std::filesystem::path& path, const ModelOptions& options, int64_t height,
                   int64_t width, int64_t frames) {
  const auto folder = open_model_folder(path, options.variant);
  const auto config = parse_sd3_transformer_config(component_config(folder, "transformer"),
                                                   folder.root / "transformer" / "config.json");
  const auto vae = AutoencoderKl::parse(component_config(folder, "vae"), folder.root / "vae" / "config.json");
  sd3_latent_shape(config, vae.factor(), height, width, frames);
  ModelSize size;
  Binder declare;
  Sd3Transformer::bind(config, declare);
  size.specs = declare.specs();
  size.backbone = component_size(folder, "transformer");
  double clip_tokens = 0.0;
  for (const char* name : {"text_encoder", "text_encoder_2", "text_encoder_3"}) {
    if (!has_component(folder, name)) continue;
    const auto json = component_config(folder, name);
    double tokens = static_cast<double>(options.max_sequence_length);
    if (std::string(name) != "text_encoder_3") {
      const auto clip = ClipTextEncoder::parse(json, folder.root / name / "config.json");
      tokens = static_cast<double>(clip.max_position_embeddings);
      clip_tokens = std::max(clip_tokens, tokens);
    }
    add_text_encoder(component_size(folder, name), tokens, size);
  }
  const double text = clip_tokens + static_cast<double>(options.max_sequence_length);
  const int64_t unit = vae.factor() * config.patch_size;
  const auto image = static_cast<double>(height / unit) * static_cast<double>(width / unit);
  add_backbone(config, image, text, size);
  if (options.activation_checkpointing)
    keep_inputs_alone(static_cast<double>(config.num_layers),
                      static_cast<double>(config.width()) * (image + text), size);
  add_picture(folder, vae, static_cast<double>(config.in_channels), height, width, size);
  return size;
}

}  // namespace thalweg
