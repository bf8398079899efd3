#include "pipelines/pretraining/world.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "engine/core/error.h"
#include "engine/core/names.h"
#include "pipelines/moving_scenes/scene.h"
#include "pipelines/scenes/scene.h"

namespace thalweg {
namespace {

constexpr int64_t kLongestScene = 8, kLongestMovingScene = 11;  // words

class ScenesWorld final : public World {
 public:
  explicit ScenesWorld(const PretrainOptions& o)
      : seed_(static_cast<uint64_t>(o.seed)), side_(static_cast<int>(o.data.size)) {
    if (o.data.frames != 1) throw Error("/data/frames", "must be 1 for the world scenes, whose scenes stand");
    if (o.vae.crowded > 0.0) throw Error("/vae/crowded", "must be 0 for the world scenes");
  }
  std::string caption(int64_t index) const override { return scene(index).caption; }
  void draw(int64_t index, float* rgb_F3HW) const override {
    scenes::render(scene(index), static_cast<uint64_t>(index), rgb_F3HW, side_);
  }
  void draw_crowded(int64_t index, float* rgb_F3HW) const override { draw(index, rgb_F3HW); }
  std::vector<std::string> words() const override { return scenes::vocabulary(); }
  int64_t longest_caption() const override { return kLongestScene; }

 private:
  scenes::Scene scene(int64_t index) const {
    return scenes::training_scene(seed_, static_cast<uint64_t>(index));
  }

  uint64_t seed_;
  int side_;
};

using Shares = std::array<moving_scenes::KindShare, moving_scenes::shares.size()>;

Shares shares_of(const std::vector<std::pair<std::string, double>>& kinds) {
  constexpr const char* kPlace = "/flow/kinds";
  if (kinds.empty()) return moving_scenes::shares;
  auto shares = moving_scenes::shares;
  for (auto& share : shares) share.percent = 0;
  int total = 0;
  const std::vector<std::string> names(moving_scenes::kind_names.begin(), moving_scenes::kind_names.end());
  for (const auto& [name, percent] : kinds) {
    const auto found = std::find(names.begin(), names.end(), name);
    if (found == names.end()) throw Error(kPlace, "knows no kind \"" + name + "\"" + suggestion(name, names));
    if (percent != std::floor(percent)) throw Error(kPlace, "must be whole percentages");
    shares.at(static_cast<size_t>(found - names.begin())).percent = static_cast<int>(percent);
    total += static_cast<int>(percent);
  }
  if (total != 100) throw Error(kPlace, "must be 100 together, not " + std::to_string(total));
  return shares;
}

class MovingScenesWorld final : public World {
 public:
  MovingScenesWorld(const PretrainOptions& o, const Shares& shares)
      : shares_(shares),
        seed_(static_cast<uint64_t>(o.seed)),
        side_(static_cast<int>(o.data.size)),
        frames_(static_cast<int>(o.data.frames)) {
    if (!moving_scenes::can_have_frames(frames_))
      throw Error("/data/frames", "must be 4 k + 1, from 5, for the world moving_scenes");
    if (side_ < moving_scenes::kDefaultSide)
      throw Error("/data/size", "must be at least " + std::to_string(moving_scenes::kDefaultSide) +
                                    " for the world moving_scenes");
  }
  std::string caption(int64_t index) const override { return scene(index).caption; }
  void draw(int64_t index, float* rgb_F3HW) const override { render(scene(index), index, rgb_F3HW); }
  void draw_crowded(int64_t index, float* rgb_F3HW) const override {
    render(moving_scenes::crowded_scene(seed_, static_cast<uint64_t>(index)), index, rgb_F3HW);
  }
  std::vector<std::string> words() const override { return moving_scenes::vocabulary(); }
  int64_t longest_caption() const override { return kLongestMovingScene; }

 private:
  moving_scenes::Scene scene(int64_t index) const {
    return moving_scenes::training_scene(seed_, static_cast<uint64_t>(index), shares_);
  }
  void render(const moving_scenes::Scene& scene, int64_t index, float* rgb_F3HW) const {
    moving_scenes::render(scene, static_cast<uint64_t>(index), rgb_F3HW, side_, frames_);
  }

  Shares shares_;
  uint64_t seed_;
  int side_, frames_;
};

}  // namespace

std::unique_ptr<World> make_world(const PretrainOptions& options) {
  if (options.data.world == "moving_scenes")
    return std::make_unique<MovingScenesWorld>(options, moving_scenes::shares);
  return std::make_unique<ScenesWorld>(options);
}

std::unique_ptr<World> make_flow_world(const PretrainOptions& options) {
  if (options.data.world == "moving_scenes")
    return std::make_unique<MovingScenesWorld>(options, shares_of(options.flow.kinds));
  if (!options.flow.kinds.empty())
    throw Error("/flow/kinds", "is read by nothing: kinds are those of the world moving_scenes");
  return std::make_unique<ScenesWorld>(options);
}

at::Tensor training_frames(const PretrainOptions& options, const World& world,
                           const std::vector<int64_t>& indices, const std::vector<bool>& crowded) {
  const int64_t size = options.data.size, frames = options.data.frames;
  const auto x = at::empty({static_cast<int64_t>(indices.size()), frames, 3, size, size}, at::kFloat);
  auto* out = x.mutable_data_ptr<float>();
  for (size_t row = 0; row < indices.size(); ++row, out += frames * 3 * size * size) {
    if (!crowded.empty() && crowded[row])
      world.draw_crowded(indices[row], out);
    else
      world.draw(indices[row], out);
  }
  return x.mul_(2.0).sub_(1.0);
}

}  // namespace thalweg
