#include "engine/models/wan/wan_size.h"

#include <algorithm>

#include "engine/models/component.h"
#include "engine/models/size_parts.h"
#include "engine/models/wan/video_codec.h"
#include "engine/models/wan/wan_model.h"

namespace thalweg {
namespace {

// Elements a block keeps for each token and unit of width, counted from Block::operator(): norms and their
// results (6), q and k before and after norm and rotation (5 + 2), v, what both attentions give (2), results
// of their last layers and of the perceptron (3), the stream after each sum (3); beside them the perceptron's
// hidden layer before and after its activation. Of the text: k before and after its norm, v.
constexpr double kSavedPerToken = 22.0, kSavedPerHidden = 2.0, kSavedPerTextToken = 3.0;
// Where the weights are frozen: q, k, v and the results of both attentions, inputs of norms and the
// activation.
constexpr double kForInputPerToken = 13.0, kForInputPerHidden = 1.0;
constexpr double kForwardPerToken = 16.0;  // alive at once
constexpr double kDecodePerPixel = 4.0;    // of the widest feature map at full size
constexpr double kFramesOfChunk = 6.0;     // four, and two of memory

constexpr double kKernel = 27.0;  // 3 x 3 x 3

double number(int64_t n) {
  return static_cast<double>(n);
}

// How many tokens of a sample pass through the matrix of that name.
double tokens_through(const std::string& name, double video, double text) {
  const auto has = [&](const char* part) { return name.find(part) != std::string::npos; };
  if (has("table")) return 0.0;
  if (has("text_embedder") || has("attn2.to_k") || has("attn2.to_v")) return text;
  return has("condition_embedder") ? 1.0 : video;
}

void add_backbone(const WanTransformerConfig& c, double video, double text, ModelSize& size) {
  const double width = number(c.width()), hidden = number(c.ffn_dim), layers = number(c.num_layers);
  size.forward_flops =
      matrix_flops(size.specs, [&](const auto& name) { return tokens_through(name, video, text); });
  size.forward_flops += 4.0 * width * layers * video * text;
  size.saved_elements = layers * (video * (kSavedPerToken * width + kSavedPerHidden * hidden) +
                                  kSavedPerTextToken * width * text);
  size.saved_for_input_elements = layers * video * (kForInputPerToken * width + kForInputPerHidden * hidden);
  size.forward_elements = video * (kForwardPerToken * width + hidden) + 3.0 * width * text;
  add_attention(layers, number(c.num_attention_heads), width, video, size);
  size.prompt_elements = text * number(c.text_dim);
  size.default_lora_targets = wan_default_lora_targets();
}

// Of one video: work, and what the backward to the latents keeps (the input of each norm and convolution).
void add_decoder(const AutoencoderKlWanConfig& c, double latent_area, int64_t latent_frames,
                 ModelSize& size) {
  double area = latent_area, frames = number(latent_frames);
  double in = number(c.decoder_base_dim * c.dim_mult.back());
  const double blocks = number(c.num_res_blocks);
  size.decode_flops = 2.0 * kKernel * area * frames * (number(c.z_dim) * in + 4.0 * in * in);
  size.decode_saved_elements = 8.0 * in * area * frames;
  for (size_t level = 0; level < c.dim_mult.size(); ++level) {
    const double out = number(c.decoder_base_dim * c.dim_mult[c.dim_mult.size() - 1 - level]);
    size.decode_flops += 2.0 * kKernel * area * frames * (in * out + (2.0 * blocks + 1.0) * out * out);
    size.decode_saved_elements += area * frames * (2.0 * in + 2.0 * out + 4.0 * blocks * out);
    in = out;
    if (level + 1 == c.dim_mult.size()) break;
    if (c.temporal[c.temporal.size() - 1 - level]) {
      size.decode_flops += 2.0 * 3.0 * area * frames * 2.0 * out * out;
      frames = 2.0 * frames - 1.0;
    }
    area *= 4.0;
    in = number(static_cast<int64_t>(out) / 2);
    size.decode_flops += 2.0 * 9.0 * area * frames * out * in;
    size.decode_saved_elements += out * area * frames;
  }
  size.decode_flops += 2.0 * kKernel * area * frames * in * number(c.out_channels);
  size.decode_saved_elements += 2.0 * in * area * frames;
}

}  // namespace

ModelSize wan_size(const std::filesystem::path& path, const ModelOptions& options, int64_t height,
                   int64_t width, int64_t frames) {
  const auto folder = open_model_folder(path, options.variant);
  const auto config = parse_component<WanTransformer>(folder, "transformer");
  const auto vae = parse_component<AutoencoderKlWan>(folder, "vae");
  const auto latents = wan_latent_shape(config, vae.factor(), height, width, frames);
  ModelSize size;
  Binder declare;
  WanTransformer::bind(config, declare);
  size.specs = declare.specs();
  size.backbone = component_size(folder, "transformer");
  size.vae = component_size(folder, "vae");
  const auto text = number(options.max_sequence_length);
  add_text_encoder(component_size(folder, "text_encoder"), text, size);
  const int64_t latent_frames = latents.frames;
  const double latent_area = number(latents.height) * number(latents.width);
  const double pixels = number(height) * number(width);
  const double video = number(latent_frames) * latent_area / number(config.patch_elements());
  add_backbone(config, video, text, size);
  if (options.activation_checkpointing)
    keep_inputs_alone(number(config.num_layers), number(config.width()) * video, size);
  add_decoder(vae, latent_area, latent_frames, size);
  const auto widest =
      number(vae.decoder_base_dim *
             std::max(vae.dim_mult[0], vae.dim_mult[std::min<size_t>(1, vae.dim_mult.size() - 1)]));
  size.decode_elements = kDecodePerPixel * kFramesOfChunk * widest * pixels;
  size.decode_rows = number(VideoCodec::videos_at_once(height, width));
  size.latent_elements = latent_area * number(latent_frames * config.in_channels);
  size.frame_elements = 3.0 * pixels * number(frames);
  return size;
}

}  // namespace thalweg
