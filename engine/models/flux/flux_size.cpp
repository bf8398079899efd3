#include "engine/models/flux/flux_size.h"

#include "engine/models/component.h"
#include "engine/models/flux/flux_model.h"
#include "engine/models/size_parts.h"
#include "engine/models/text/clip_text_encoder.h"

namespace thalweg {
namespace {

// Elements a block keeps for each token and unit of width: a joint block as in SD3; a single block, counted
// from its run(): the norm's input and result, q, k and v, the attention's result, the perceptron before and
// after its activation (4 + 4), both together (5), the product and the gate's inputs.
constexpr double kJointPerToken = 34.0, kSinglePerToken = 22.0, kForwardPerToken = 20.0;
// Where the weights are frozen: q, k, v and the result of the attention, the inputs of norm and activation.
constexpr double kJointForInput = 12.0, kSingleForInput = 9.0;

// How many tokens of a sample pass through the matrix of that name.
double tokens_through(const std::string& name, double image, double text) {
  const auto has = [&](const char* part) { return name.find(part) != std::string::npos; };
  if (has("time_text_embed") || has("norm1") || has("norm.linear") || has("norm_out")) return 1.0;
  if (has("single_transformer_blocks")) return image + text;
  if (has("add_") || has("context")) return text;
  return image;
}

void add_backbone(const FluxTransformerConfig& c, double image, double text, ModelSize& size) {
  const auto width = static_cast<double>(c.width()), joint = static_cast<double>(c.num_layers),
             single = static_cast<double>(c.num_single_layers);
  const double tokens = image + text;
  size.forward_flops =
      matrix_flops(size.specs, [&](const auto& name) { return tokens_through(name, image, text); });
  size.saved_elements = width * tokens * (kJointPerToken * joint + kSinglePerToken * single);
  size.saved_for_input_elements = width * tokens * (kJointForInput * joint + kSingleForInput * single);
  size.forward_elements = kForwardPerToken * width * tokens;
  add_attention(joint + single, static_cast<double>(c.num_attention_heads), width, tokens, size);
  size.prompt_elements =
      text * static_cast<double>(c.joint_attention_dim) + static_cast<double>(c.pooled_projection_dim);
  size.default_lora_targets = flux_default_lora_targets(c);
}

}  // namespace

ModelSize flux_size(const std::filesystem::path& path, const ModelOptions& options, int64_t height,
                    int64_t width, int64_t frames) {
  const auto folder = open_model_folder(path, options.variant);
  const auto config = parse_component<FluxTransformer>(folder, "transformer");
  const auto vae = parse_component<AutoencoderKl>(folder, "vae");
  const auto clip = parse_component<ClipTextEncoder>(folder, "text_encoder");
  flux_latent_shape(config, vae.factor(), height, width, frames);
  ModelSize size;
  Binder declare;
  FluxTransformer::bind(config, declare);
  size.specs = declare.specs();
  size.backbone = component_size(folder, "transformer");
  const auto text = static_cast<double>(options.max_sequence_length);
  add_text_encoder(component_size(folder, "text_encoder"), static_cast<double>(clip.max_position_embeddings),
                   size);
  add_text_encoder(component_size(folder, "text_encoder_2"), text, size);
  const int64_t unit = vae.factor() * FluxTransformerConfig::kPatch;
  const auto image = static_cast<double>(height / unit) * static_cast<double>(width / unit);
  add_backbone(config, image, text, size);
  if (options.activation_checkpointing)
    keep_inputs_alone(static_cast<double>(config.num_layers + config.num_single_layers),
                      static_cast<double>(config.width()) * (image + text), size);
  add_picture(folder, vae, static_cast<double>(config.latent_channels()), height, width, size);
  return size;
}

}  // namespace thalweg
