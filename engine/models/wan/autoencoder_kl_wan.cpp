#include "engine/models/wan/autoencoder_kl_wan.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "engine/core/error.h"
#include "engine/weights/config.h"

namespace thalweg {
namespace {

constexpr size_t kMaxLevels = 8;
constexpr int64_t kTime = AutoencoderKlWanConfig::kTimeFactor;

std::vector<bool> parse_temporal(const Json& json, size_t halvings, const std::filesystem::path& path) {
  constexpr const char* kKey = "temperal_downsample";
  std::vector<bool> temporal{false, true, true};
  const auto found = json.find(kKey);
  if (found != json.end() && !found->is_null()) {
    temporal.clear();
    if (!found->is_array() ||
        !std::all_of(found->begin(), found->end(), [](const Json& value) { return value.is_boolean(); }))
      throw Error(path.string(), std::string("\"") + kKey + "\" must be a list of true and false");
    for (const auto& value : *found) temporal.push_back(value.get<bool>());
  }
  if (temporal.size() != halvings)
    throw Error(path.string(), std::string("\"") + kKey + "\" must have " + std::to_string(halvings) +
                                   " entries, one fewer than \"dim_mult\"");
  // diffusers encodes four frames at a time, whatever the config says.
  if (std::count(temporal.begin(), temporal.end(), true) != 2)
    throw Error(path.string(), std::string("\"") + kKey + "\" must have two entries that are true: only " +
                                   std::to_string(kTime) + " frames a latent frame are supported");
  return temporal;
}

void refuse_others(const Json& json, const AutoencoderKlWanConfig& c, const std::filesystem::path& path) {
  if (config_bool(json, "is_residual", false, path))
    throw Error(path.string(), "\"is_residual\" is true: the autoencoder of Wan 2.2 is not supported");
  if (json.contains("patch_size") && !json.at("patch_size").is_null() && json.at("patch_size") != 1)
    throw Error(path.string(), "\"patch_size\" is not supported; it must be null");
  if (json.contains("attn_scales") && json.at("attn_scales") != Json::array() &&
      !json.at("attn_scales").is_null())
    throw Error(path.string(), "\"attn_scales\" is not supported; it must be empty");
  for (const auto& [key, value] :
       {std::pair{"scale_factor_spatial", c.factor()}, {"scale_factor_temporal", kTime}})
    if (config_integer(json, key, value, 1, 1024, path) != value)
      throw Error(path.string(), std::string("\"") + key + "\" must be " + std::to_string(value) +
                                     ", as \"dim_mult\" and \"temperal_downsample\" make it");
}

at::Tensor per_channel(const std::vector<double>& values, const at::Tensor& like) {
  return at::tensor(values, at::kDouble).to(like.options()).view({1, -1, 1, 1, 1});
}

}  // namespace

AutoencoderKlWanConfig AutoencoderKlWan::parse(const Json& json, const std::filesystem::path& path) {
  Config c;
  const auto read = [&](const char* key, int64_t& value, int64_t low, int64_t high) {
    value = config_integer(json, key, value, low, high, path);
  };
  read("base_dim", c.base_dim, 2, 4096);
  c.decoder_base_dim = c.base_dim;
  read("decoder_base_dim", c.decoder_base_dim, 2, 4096);
  read("z_dim", c.z_dim, 1, 1024);
  read("num_res_blocks", c.num_res_blocks, 1, 64);
  read("in_channels", c.in_channels, 1, 64);
  read("out_channels", c.out_channels, 1, 64);
  c.dim_mult = config_integers(json, "dim_mult", c.dim_mult, 1, 64, kMaxLevels, path);
  c.temporal = parse_temporal(json, c.dim_mult.size() - 1, path);
  refuse_others(json, c, path);
  const auto channels = static_cast<size_t>(c.z_dim);
  c.latents_mean = config_numbers(json, "latents_mean", -1e6, 1e6, channels, path);
  c.latents_std = config_numbers(json, "latents_std", 1e-6, 1e6, channels, path);
  for (const auto* values : {&c.latents_mean, &c.latents_std})
    if (values->size() != channels)
      throw Error(path.string(), "\"latents_mean\" and \"latents_std\" must have \"z_dim\" (" +
                                     std::to_string(c.z_dim) + ") entries");
  return c;
}

void AutoencoderKlWan::bind_middle(Binder binder, int64_t channels, std::vector<WanLayer>& layers) {
  layers.emplace_back(WanResnet::bind(binder.sub("resnets.0."), channels, channels));
  layers.emplace_back(WanVaeAttention::bind(binder.sub("attentions.0."), channels));
  layers.emplace_back(WanResnet::bind(binder.sub("resnets.1."), channels, channels));
}

AutoencoderKlWan::Stack AutoencoderKlWan::bind_encoder(const Config& c, Binder binder) {
  Stack stack;
  int64_t channels = c.base_dim;
  stack.conv_in = WanConv3d::bind(binder, "conv_in", c.in_channels, channels, 3, 3);
  const auto next = [&] { return binder.sub("down_blocks." + std::to_string(stack.layers.size()) + "."); };
  for (size_t level = 0; level < c.dim_mult.size(); ++level) {
    const int64_t out = c.base_dim * c.dim_mult[level];
    for (int64_t i = 0; i < c.num_res_blocks; ++i, channels = out)
      stack.layers.emplace_back(WanResnet::bind(next(), channels, out));
    if (level + 1 < c.dim_mult.size())
      stack.layers.emplace_back(WanDown::bind(next(), channels, c.temporal[level]));
  }
  bind_middle(binder.sub("mid_block."), channels, stack.layers);
  stack.norm_out = WanNorm::bind(binder, "norm_out", channels, true);
  stack.conv_out = WanConv3d::bind(binder, "conv_out", channels, 2 * c.z_dim, 3, 3);
  return stack;
}

AutoencoderKlWan::Stack AutoencoderKlWan::bind_decoder(const Config& c, Binder binder) {
  Stack stack;
  int64_t channels = c.decoder_base_dim * c.dim_mult.back();
  stack.conv_in = WanConv3d::bind(binder, "conv_in", c.z_dim, channels, 3, 3);
  bind_middle(binder.sub("mid_block."), channels, stack.layers);
  for (size_t level = 0; level < c.dim_mult.size(); ++level) {
    const int64_t out = c.decoder_base_dim * c.dim_mult[c.dim_mult.size() - 1 - level];
    const auto block = binder.sub("up_blocks." + std::to_string(level) + ".");
    // A residual block more than the encoder has at the same scale.
    for (int64_t i = 0; i <= c.num_res_blocks; ++i, channels = out)
      stack.layers.emplace_back(
          WanResnet::bind(block.sub("resnets." + std::to_string(i) + "."), channels, out));
    if (level + 1 == c.dim_mult.size()) continue;
    const bool time = c.temporal[c.temporal.size() - 1 - level];
    stack.layers.emplace_back(WanUp::bind(block.sub("upsamplers.0."), channels, time));
    channels /= 2;
  }
  stack.norm_out = WanNorm::bind(binder, "norm_out", channels, true);
  stack.conv_out = WanConv3d::bind(binder, "conv_out", channels, c.out_channels, 3, 3);
  return stack;
}

AutoencoderKlWan AutoencoderKlWan::bind(const Config& config, Binder binder) {
  AutoencoderKlWan vae;
  vae.config_ = config;
  vae.encoder_ = bind_encoder(config, binder.sub("encoder."));
  vae.decoder_ = bind_decoder(config, binder.sub("decoder."));
  const int64_t z = config.z_dim;
  vae.quant_conv_ = WanConv3d::bind(binder, "quant_conv", 2 * z, 2 * z, 1, 1);
  vae.post_quant_conv_ = WanConv3d::bind(binder, "post_quant_conv", z, z, 1, 1);
  return vae;
}

at::Tensor AutoencoderKlWan::Stack::operator()(const at::Tensor& x_BCFHW, WanCache* cache) const {
  if (cache) cache->next_chunk();
  auto y = conv_in(x_BCFHW, cache);
  for (const auto& layer : layers) y = std::visit([&](const auto& block) { return block(y, cache); }, layer);
  return conv_out(wan_norm_silu(norm_out, y), cache);
}

at::Tensor AutoencoderKlWan::encode_moments(const at::Tensor& x_BCFHW) const {
  TORCH_CHECK(x_BCFHW.size(2) % kTime == 1, "a video of ", x_BCFHW.size(2), " frames is not one of 4 k + 1");
  return quant_conv_.valid(encoder_(x_BCFHW, nullptr));
}

at::Tensor AutoencoderKlWan::encode_moments_in_chunks(const at::Tensor& x_BCFHW) const {
  TORCH_CHECK(x_BCFHW.size(2) % kTime == 1, "a video of ", x_BCFHW.size(2), " frames is not one of 4 k + 1");
  WanCache cache;
  std::vector<at::Tensor> parts;
  for (int64_t begin = 0, end = 1; begin < x_BCFHW.size(2); begin = end, end += kTime)
    parts.push_back(encoder_(x_BCFHW.slice(2, begin, end), &cache));
  return quant_conv_.valid(at::cat(parts, 2));
}

at::Tensor AutoencoderKlWan::decode(const at::Tensor& z_BCFHW) const {
  return decoder_(post_quant_conv_.valid(z_BCFHW), nullptr).clamp(-1.0, 1.0);
}

void AutoencoderKlWan::decode_in_chunks(const at::Tensor& z_BCFHW,
                                        const std::function<void(const at::Tensor& x_BCFHW)>& take) const {
  WanCache cache;
  const auto z = post_quant_conv_.valid(z_BCFHW);
  for (int64_t i = 0; i < z.size(2); ++i) take(decoder_(z.slice(2, i, i + 1), &cache).clamp(-1.0, 1.0));
}

at::Tensor AutoencoderKlWan::scaled(const at::Tensor& z) const {
  return (z - per_channel(config_.latents_mean, z)) / per_channel(config_.latents_std, z);
}

at::Tensor AutoencoderKlWan::unscaled(const at::Tensor& z) const {
  return z * per_channel(config_.latents_std, z) + per_channel(config_.latents_mean, z);
}

}  // namespace thalweg
