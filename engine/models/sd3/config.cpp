#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "engine/core/error.h"
#include "engine/models/sd3/transformer.h"
#include "engine/weights/folder.h"

namespace thalweg {
namespace {

constexpr int64_t kMaxPositionElements = int64_t{1} << 30;  // 3 times SD3.5-large's

}  // namespace

Sd3TransformerConfig parse_sd3_transformer_config(const Json& json, const std::filesystem::path& path) {
  Sd3TransformerConfig c;
  const auto read = [&](const char* key, int64_t& value, int64_t low, int64_t high) {
    value = config_integer(json, key, value, low, high, path);
  };
  read("sample_size", c.sample_size, 1, 4096);
  read("patch_size", c.patch_size, 1, 64);
  read("in_channels", c.in_channels, 1, 1024);
  c.out_channels = c.in_channels;
  read("out_channels", c.out_channels, 1, 1024);
  read("num_layers", c.num_layers, 1, 256);
  read("attention_head_dim", c.attention_head_dim, 1, 1024);
  read("num_attention_heads", c.num_attention_heads, 1, 512);
  read("joint_attention_dim", c.joint_attention_dim, 1, 65536);
  read("caption_projection_dim", c.caption_projection_dim, 1, 65536);
  read("pooled_projection_dim", c.pooled_projection_dim, 1, 65536);
  read("pos_embed_max_size", c.pos_embed_max_size, 1, 4096);
  if (c.caption_projection_dim != c.width())
    throw Error(path.string(), "caption_projection_dim must equal num_attention_heads * attention_head_dim");
  if (c.width() % 4 != 0)
    throw Error(path.string(), "the width must be a multiple of 4 for the position table");
  if (c.out_channels != c.in_channels)
    throw Error(path.string(), "out_channels must equal in_channels: a velocity has its latent's shape");
  if (c.pos_embed_max_size * c.pos_embed_max_size > kMaxPositionElements / c.width())
    throw Error(path.string(), "\"pos_embed_max_size\" is too large: its table would exceed 4 GiB");
  if (c.sample_size < c.patch_size)
    throw Error(path.string(), "\"sample_size\" must be at least \"patch_size\"");
  const auto norm = json.find("qk_norm");
  if (norm != json.end() && !norm->is_null()) {
    if (*norm != "rms_norm") throw Error(path.string(), "qk_norm knows \"rms_norm\" and null");
    c.qk_norm = true;
  }
  const auto dual = json.find("dual_attention_layers");
  if (dual != json.end() && !dual->is_null()) {
    if (!dual->is_array())
      throw Error(path.string(), "dual_attention_layers must be a list of layer indices");
    for (const auto& layer : *dual) {
      if (!layer.is_number_integer() || layer.get<int64_t>() < 0 || layer.get<int64_t>() >= c.num_layers)
        throw Error(path.string(), "dual_attention_layers names a layer that is not there");
      c.dual_attention_layers.push_back(layer.get<int64_t>());
    }
  }
  return c;
}

std::string sd3_architecture(const Sd3TransformerConfig& c) {
  if (c.num_layers == 24 && c.width() == 1536)
    return c.qk_norm ? "stable-diffusion-v3.5-medium" : "stable-diffusion-v3-medium";
  if (c.num_layers == 38 && c.width() == 2432) return "stable-diffusion-v3.5-large";
  return "stable-diffusion-v3";
}

at::Tensor sd3_position_table(const Sd3TransformerConfig& c) {
  const int64_t n = c.pos_embed_max_size, quarter = c.width() / 4;
  const double base = static_cast<double>(c.sample_size / c.patch_size);
  const auto options = at::TensorOptions().dtype(at::kDouble);
  const auto position_N = at::arange(n, options) / (static_cast<double>(n) / base);
  const auto omega_D = at::pow(10000.0, -at::arange(quarter, options) / static_cast<double>(quarter));
  const auto angle_ND = position_N.unsqueeze(1) * omega_D.unsqueeze(0);
  const auto wave_ND = at::cat({angle_ND.sin(), angle_ND.cos()}, 1);
  // Column first, then row: the order of numpy's "xy" meshgrid in the original.
  const auto column = wave_ND.unsqueeze(0).expand({n, n, 2 * quarter});
  const auto row = wave_ND.unsqueeze(1).expand({n, n, 2 * quarter});
  return at::cat({column, row}, 2).reshape({1, n * n, c.width()}).to(at::kFloat);
}

}  // namespace thalweg
