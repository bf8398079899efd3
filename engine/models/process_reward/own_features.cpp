// A small network of its own: convolutions over the latents, whose pixels then attend jointly with the
// prompt's words. For models without blocks to borrow, and where a generator is too dear to run.
#include <ATen/ATen.h>

#include <cctype>

#include "engine/core/error.h"
#include "engine/models/process_reward/features.h"
#include "engine/models/process_reward/noise_level.h"

namespace thalweg {
namespace {

constexpr double kEps = 1e-6;
constexpr int64_t kHeadWidth = 8;      // of attention
constexpr int64_t kFewPixels = 64;     // blocks halve the sides above
constexpr int64_t kMostPixels = 4096;  // after all halving

// Words as ids: a hash stands for a vocabulary, so that any prompt has words. 0: none.
std::vector<int64_t> word_ids(const std::string& prompt, int64_t count, int64_t vocabulary) {
  std::vector<int64_t> ids;
  uint64_t hash = 0;
  const auto end_word = [&] {
    if (hash != 0 && static_cast<int64_t>(ids.size()) < count)
      ids.push_back(1 + static_cast<int64_t>(hash % static_cast<uint64_t>(vocabulary - 1)));
    hash = 0;
  };
  for (const char c : prompt) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80 && !std::isalnum(byte)) {
      end_word();
      continue;
    }
    if (hash == 0) hash = 1469598103934665603ull;  // FNV-1a
    hash = (hash ^ static_cast<uint64_t>(std::tolower(byte))) * 1099511628211ull;
  }
  end_word();
  ids.resize(static_cast<size_t>(count), 0);
  return ids;
}

// Rows and columns of the latents as two channels in [-1,1]: a convolution alone knows no place.
at::Tensor with_places(const at::Tensor& x_BCHW) {
  const auto line = [&](int64_t n) {
    return n == 1 ? at::zeros({1}, x_BCHW.options()) : at::linspace(-1.0, 1.0, n, x_BCHW.options());
  };
  const int64_t b = x_BCHW.size(0), h = x_BCHW.size(2), w = x_BCHW.size(3);
  return at::cat({x_BCHW, line(h).view({1, 1, h, 1}).expand({b, 1, h, w}),
                  line(w).view({1, 1, 1, w}).expand({b, 1, h, w})},
                 1);
}

struct ConvBlock {
  Conv2d first, second;
  Linear level;
};

struct JointLayer {
  Norm norm_1, norm_2;
  Linear qkv, out, up, down;
};

struct OwnNetwork {
  Conv2d in;
  Linear level_1, level_2;
  std::vector<ConvBlock> blocks;
  at::Tensor words, places;
  std::vector<JointLayer> layers;
};

OwnNetwork bind_network(const ProcessRewardConfig::Own& o, int64_t channels, Binder b) {
  OwnNetwork n;
  n.in = b.conv2d("in", channels + 2, o.width, 3, 1, 1);
  n.level_1 = b.linear("level_1", kLevelWaves, o.width);
  n.level_2 = b.linear("level_2", o.width, o.width);
  for (int64_t i = 0; i < o.blocks; ++i) {
    auto s = b.sub("blocks." + std::to_string(i) + ".");
    n.blocks.push_back({s.conv2d("first", o.width, o.width, 3, 1, 1),
                        s.conv2d("second", o.width, o.width, 3, 1, 1),
                        s.linear("level", o.width, 2 * o.width, true, Init::zeros)});
  }
  n.words = b.tensor("words", {o.vocabulary, o.width}, Init::normal_002);
  n.places = b.tensor("places", {o.words, o.width}, Init::normal_002);
  for (int64_t i = 0; i < o.layers; ++i) {
    auto s = b.sub("layers." + std::to_string(i) + ".");
    n.layers.push_back({s.layer_norm("norm_1", o.width, kEps), s.layer_norm("norm_2", o.width, kEps),
                        s.linear("qkv", o.width, 3 * o.width), s.linear("out", o.width, o.width),
                        s.linear("up", o.width, 4 * o.width), s.linear("down", 4 * o.width, o.width)});
  }
  return n;
}

at::Tensor run(const ConvBlock& block, const at::Tensor& x_BCHW, const at::Tensor& level_BD) {
  const auto film = block.level(level_BD).unsqueeze(-1).unsqueeze(-1).chunk(2, 1);
  const auto y = block.first(at::silu(x_BCHW)) * (1.0 + film[0]) + film[1];
  const auto z = x_BCHW + block.second(at::silu(y));
  return z.size(2) * z.size(3) > kFewPixels && z.size(2) % 2 == 0 && z.size(3) % 2 == 0 ? at::avg_pool2d(z, 2)
                                                                                        : z;
}

at::Tensor run(const JointLayer& layer, const at::Tensor& x_BLD) {
  const int64_t b = x_BLD.size(0), l = x_BLD.size(1), d = x_BLD.size(2);
  const auto qkv = layer.qkv(layer_norm(layer.norm_1, x_BLD)).view({b, l, 3, d / kHeadWidth, kHeadWidth});
  const auto heads = [&](int64_t i) { return qkv.select(2, i).transpose(1, 2); };
  const auto mixed = attention(heads(0), heads(1), heads(2)).transpose(1, 2).reshape({b, l, d});
  const auto y = x_BLD + layer.out(mixed);
  return y + layer.down(at::gelu(layer.up(layer_norm(layer.norm_2, y))));
}

class OwnFeatures final : public LatentFeatures {
 public:
  OwnFeatures(const ProcessRewardConfig::Own& config, int64_t channels) : o_(config), channels_(channels) {}

  int64_t width() const override { return o_.width; }
  int64_t streams() const override { return 1; }

  FeatureStreams bind(Binder binder) const override {
    return [n = bind_network(o_, channels_, std::move(binder)), o = o_](
               const at::Tensor& x_BCFHW, const at::Tensor& sigma_B, const Conditioning& c) {
      const auto level_BD = at::silu(n.level_2(at::silu(n.level_1(level_waves(sigma_B)))));
      auto x = n.in(with_places(x_BCFHW.to(at::kFloat).squeeze(2)));
      for (const auto& block : n.blocks) x = run(block, x, level_BD);
      std::vector<int64_t> ids;
      for (const auto& prompt : c.prompts)
        for (const auto id : word_ids(prompt, o.words, o.vocabulary)) ids.push_back(id);
      const auto ids_BL = at::tensor(ids, at::kLong).view({-1, o.words}).to(n.words.device());
      const auto words_BLD = at::embedding(n.words, ids_BL) + n.places;
      auto tokens = at::cat({x.flatten(2).transpose(1, 2) + level_BD.unsqueeze(1), words_BLD}, 1);
      for (const auto& layer : n.layers) tokens = run(layer, tokens);
      return std::vector<at::Tensor>{tokens};
    };
  }

  Conditioning encode(const std::vector<std::string>& prompts) const override { return {prompts, {}}; }

  void require(int64_t channels, int64_t frames, int64_t height, int64_t width) const override {
    if (channels != channels_ || frames != 1)
      throw Error("", "latents of " + std::to_string(channels) + " channels and " + std::to_string(frames) +
                          " frames do not fit: it reads " + std::to_string(channels_) +
                          " channels of one frame");
    if (height < 1 || width < 1 || (height * width >> (2 * std::min<int64_t>(o_.blocks, 20))) > kMostPixels)
      throw Error("", "latents of " + std::to_string(height) + " x " + std::to_string(width) +
                          " leave too many tokens after " + std::to_string(o_.blocks) +
                          " blocks that halve their sides: give it more blocks");
  }

 private:
  const ProcessRewardConfig::Own o_;
  const int64_t channels_;
};

}  // namespace

std::unique_ptr<LatentFeatures> own_features(const ProcessRewardConfig::Own& config, int64_t channels) {
  return std::make_unique<OwnFeatures>(config, channels);
}

}  // namespace thalweg
