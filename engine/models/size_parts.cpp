#include "engine/models/size_parts.h"

#include <algorithm>

#include "engine/weights/stored_size.h"

namespace thalweg {
namespace {

constexpr double kDecodePerPixel = 4.0;       // of the widest feature map at full size
constexpr int64_t kFusedAttentionFrom = 128;  // tokens from which attention keeps no probabilities

double elements_of(const std::vector<int64_t>& shape) {
  double n = 1.0;
  for (const auto side : shape) n *= static_cast<double>(side);
  return n;
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

}  // namespace

ComponentSize component_size(const ModelFolder& folder, const std::string& name) {
  const auto stored = stored_size(component_files(folder, name));
  return {name, static_cast<double>(stored.parameters), static_cast<double>(stored.bytes)};
}

double matrix_flops(const std::vector<ParameterSpec>& specs,
                    const std::function<double(const std::string&)>& tokens_through) {
  double flops = 0.0;
  for (const auto& spec : specs)
    if (spec.shape.size() >= 2 && spec.init != Init::fixed)
      flops += 2.0 * elements_of(spec.shape) * tokens_through(spec.name);
  return flops;
}

void add_text_encoder(const ComponentSize& encoder, double tokens, ModelSize& size) {
  size.encode_flops += 2.0 * encoder.parameters * tokens;
  size.text_encoders.push_back(encoder);
}

void add_attention(double layers, double heads, double width, double tokens, ModelSize& size) {
  size.forward_flops += 4.0 * width * layers * tokens * tokens;
  if (tokens > static_cast<double>(kFusedAttentionFrom)) return;
  const double probabilities = heads * tokens * tokens;
  size.saved_elements += 2.0 * layers * probabilities;
  size.saved_for_input_elements += layers * probabilities;
  size.forward_elements += 2.0 * probabilities;
}

void keep_inputs_alone(double blocks, double inputs, ModelSize& size) {
  for (auto* saved : {&size.saved_elements, &size.saved_for_input_elements})
    *saved = std::min(*saved, blocks * inputs + *saved / blocks);
}

void add_picture(const ModelFolder& folder, const AutoencoderKlConfig& vae, double latent_channels,
                 int64_t height, int64_t width, ModelSize& size) {
  const double latent_area =
      static_cast<double>(height / vae.factor()) * static_cast<double>(width / vae.factor());
  const double pixels = static_cast<double>(height) * static_cast<double>(width);
  const auto& channels = vae.block_out_channels;
  const auto widest =
      static_cast<double>(std::max(channels.front(), channels[std::min<size_t>(1, channels.size() - 1)]));
  size.vae = component_size(folder, "vae");
  size.decode_flops = decode_flops(vae, latent_area);
  size.decode_saved_elements = decode_saved_elements(vae, latent_area);
  size.decode_elements = kDecodePerPixel * widest * pixels;
  size.decode_rows = static_cast<double>(vae.pictures_at_once(height, width));
  size.latent_elements = latent_area * latent_channels;
  size.frame_elements = 3.0 * pixels;
}

}  // namespace thalweg
