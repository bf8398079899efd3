#include "engine/models/vae/autoencoder_kl.h"

#include <ATen/ATen.h>

#include "engine/core/error.h"
#include "engine/models/fused.h"
#include "engine/weights/config.h"

namespace thalweg {
namespace {

constexpr size_t kMaxLevels = 8;

/// Every block of the list must be `known`, and there must be one a level.
void check_blocks(const Json& config, const std::string& key, const std::string& known, size_t levels,
                  const std::filesystem::path& path) {
  const auto types = config_texts(config, key, {known}, kMaxLevels, path);
  if (types.size() != levels)
    throw Error(path.string(), "\"" + key + "\" has " + std::to_string(types.size()) +
                                   " blocks, \"block_out_channels\" " + std::to_string(levels));
  for (const auto& type : types)
    if (type != known)
      throw Error(path.string(), "\"" + key + "\" names \"" + type + "\": only " + known + " is supported");
}

}  // namespace

AutoencoderKlConfig AutoencoderKl::parse(const Json& json, const std::filesystem::path& path) {
  Config c;
  const auto read = [&](const char* key, int64_t& value, int64_t low, int64_t high) {
    value = config_integer(json, key, value, low, high, path);
  };
  read("in_channels", c.in_channels, 1, 64);
  read("out_channels", c.out_channels, 1, 64);
  read("latent_channels", c.latent_channels, 1, 1024);
  read("layers_per_block", c.layers_per_block, 1, 64);
  read("norm_num_groups", c.norm_num_groups, 1, 1024);
  c.block_out_channels =
      config_integers(json, "block_out_channels", c.block_out_channels, 1, 16384, kMaxLevels, path);
  c.mid_block_add_attention = config_bool(json, "mid_block_add_attention", c.mid_block_add_attention, path);
  c.use_quant_conv = config_bool(json, "use_quant_conv", c.use_quant_conv, path);
  c.use_post_quant_conv = config_bool(json, "use_post_quant_conv", c.use_post_quant_conv, path);
  c.scaling_factor = config_number(json, "scaling_factor", c.scaling_factor, 1e-6, 1e6, path);
  c.shift_factor = config_number(json, "shift_factor", c.shift_factor, -1e6, 1e6, path);
  check_blocks(json, "down_block_types", "DownEncoderBlock2D", c.block_out_channels.size(), path);
  check_blocks(json, "up_block_types", "UpDecoderBlock2D", c.block_out_channels.size(), path);
  const auto activation = config_text(json, "act_fn", "silu", path);
  if (activation != "silu" && activation != "swish")
    throw Error(path.string(), "\"act_fn\" is \"" + activation + "\": only silu is supported");
  for (const char* key : {"latents_mean", "latents_std"})
    if (json.contains(key) && !json.at(key).is_null())
      throw Error(path.string(),
                  "\"" + std::string(key) + "\" is not supported: one scale and shift for all channels");
  for (const auto channels : c.block_out_channels)
    if (channels % c.norm_num_groups != 0)
      throw Error(path.string(), "\"block_out_channels\" must be multiples of \"norm_num_groups\" (" +
                                     std::to_string(c.norm_num_groups) + "), unlike " +
                                     std::to_string(channels));
  return c;
}

AutoencoderKl::Stack AutoencoderKl::bind_encoder(const Config& c, Binder binder) {
  const auto& channels = c.block_out_channels;
  Stack stack;
  stack.conv_in = binder.conv2d("conv_in", c.in_channels, channels.front(), 3, 1, 1);
  for (size_t i = 0; i < channels.size(); ++i)
    stack.scales.push_back(VaeScale::bind_down(binder.sub("down_blocks." + std::to_string(i) + "."),
                                               channels[i == 0 ? 0 : i - 1], channels[i], c.layers_per_block,
                                               c.norm_num_groups, i + 1 < channels.size()));
  stack.mid = VaeMidBlock::bind(binder.sub("mid_block."), channels.back(), c.norm_num_groups,
                                c.mid_block_add_attention);
  stack.norm_out = binder.group_norm("conv_norm_out", c.norm_num_groups, channels.back(), kVaeNormEps);
  stack.conv_out = binder.conv2d("conv_out", channels.back(), 2 * c.latent_channels, 3, 1, 1);
  return stack;
}

AutoencoderKl::Stack AutoencoderKl::bind_decoder(const Config& c, Binder binder) {
  const std::vector<int64_t> channels(c.block_out_channels.rbegin(), c.block_out_channels.rend());
  Stack stack;
  stack.conv_in = binder.conv2d("conv_in", c.latent_channels, channels.front(), 3, 1, 1);
  stack.mid = VaeMidBlock::bind(binder.sub("mid_block."), channels.front(), c.norm_num_groups,
                                c.mid_block_add_attention);
  for (size_t i = 0; i < channels.size(); ++i)
    // A residual block more than the encoder has at the same scale.
    stack.scales.push_back(
        VaeScale::bind_up(binder.sub("up_blocks." + std::to_string(i) + "."), channels[i == 0 ? 0 : i - 1],
                          channels[i], c.layers_per_block + 1, c.norm_num_groups, i + 1 < channels.size()));
  stack.norm_out = binder.group_norm("conv_norm_out", c.norm_num_groups, channels.back(), kVaeNormEps);
  stack.conv_out = binder.conv2d("conv_out", channels.back(), c.out_channels, 3, 1, 1);
  return stack;
}

AutoencoderKl AutoencoderKl::bind(const Config& config, Binder binder) {
  AutoencoderKl vae;
  vae.config_ = config;
  vae.encoder_ = bind_encoder(config, binder.sub("encoder."));
  vae.decoder_ = bind_decoder(config, binder.sub("decoder."));
  const int64_t latent = config.latent_channels;
  if (config.use_quant_conv) vae.quant_conv_ = binder.conv2d("quant_conv", 2 * latent, 2 * latent, 1);
  if (config.use_post_quant_conv) vae.post_quant_conv_ = binder.conv2d("post_quant_conv", latent, latent, 1);
  return vae;
}

at::Tensor AutoencoderKl::encode_moments(const at::Tensor& x_BCHW) const {
  auto y_BCHW = encoder_.conv_in(x_BCHW);
  for (const auto& scale : encoder_.scales) y_BCHW = scale.down(std::move(y_BCHW));
  y_BCHW = encoder_.mid(y_BCHW);
  y_BCHW = encoder_.conv_out(group_norm_silu(encoder_.norm_out, y_BCHW));
  return quant_conv_ ? (*quant_conv_)(y_BCHW) : y_BCHW;
}

at::Tensor AutoencoderKl::decode(const at::Tensor& z_BCHW) const {
  // On a CPU, channels next to each other all the way: no convolution has to turn its pictures around.
  const auto layout = z_BCHW.is_cpu() ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
  const auto z = z_BCHW.contiguous(layout);
  auto y_BCHW = decoder_.conv_in(post_quant_conv_ ? (*post_quant_conv_)(z) : z);
  y_BCHW = decoder_.mid(y_BCHW);
  for (const auto& scale : decoder_.scales) y_BCHW = scale.up(std::move(y_BCHW));
  return decoder_.conv_out(group_norm_silu(decoder_.norm_out, y_BCHW)).contiguous();
}

at::Tensor AutoencoderKl::scaled(const at::Tensor& z) const {
  return (z - config_.shift_factor) * config_.scaling_factor;
}

at::Tensor AutoencoderKl::unscaled(const at::Tensor& z) const {
  return z / config_.scaling_factor + config_.shift_factor;
}

at::Tensor frames_from_pictures(const at::Tensor& x) {
  return at::clamp(x * 0.5 + 0.5, 0.0, 1.0);
}

}  // namespace thalweg
