// The scene plugin as a program sees it: through its one symbol and the C interface.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <limits>
#include <string>
#include <vector>

#include "plugins/include/thalweg/ext/log.h"
#include "plugins/include/thalweg/reward.h"
#include "tests/scenes/canvas.h"

namespace thalweg::scenes {
namespace {

struct Heard {
  std::vector<std::string> errors, lines;
};

Heard& heard_by(const thalweg_host* host) {
  return *static_cast<Heard*>(host->host_data);
}

const void* host_extension(const thalweg_host*, const char* id) {
  static const thalweg_host_log log = {[](const thalweg_host* host, thalweg_log_severity, const char* text) {
    heard_by(host).lines.emplace_back(text);
  }};
  return std::string(id) == THALWEG_EXT_LOG ? &log : nullptr;
}

void host_error(const thalweg_host* host, thalweg_status, const char* text) {
  heard_by(host).errors.emplace_back(text);
}

thalweg_tensor view(std::vector<float>& data, const std::vector<int64_t>& shape,
                    const std::vector<int64_t>& strides) {
  return {data.data(),
          {THALWEG_DEVICE_TYPE_CPU, 0},
          static_cast<int32_t>(shape.size()),
          {THALWEG_DTYPE_FLOAT, 32, 1},
          shape.data(),
          strides.data(),
          0};
}

class ScenePlugin : public testing::Test {
 protected:
  void SetUp() override {
    const char* build = std::getenv("THALWEG_BUILD_DIR");
    const std::string path = std::string(build != nullptr ? build : THALWEG_BUILD_DIR) + "/plugins/scene.so";
    void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    ASSERT_NE(library, nullptr) << dlerror();
    const auto* entry = static_cast<const thalweg_plugin_entry*>(dlsym(library, THALWEG_ENTRY_SYMBOL));
    ASSERT_NE(entry, nullptr);
    ASSERT_EQ(entry->init(path.c_str()), THALWEG_OK);
    const auto* factory =
        static_cast<const thalweg_reward_factory*>(entry->get_factory(THALWEG_REWARD_FACTORY_ID));
    ASSERT_NE(factory, nullptr);
    ASSERT_EQ(factory->count(factory), 1U);
    reward_ = factory->create(factory, &host_, factory->descriptor(factory, 0)->id);
    ASSERT_NE(reward_, nullptr);
    ASSERT_EQ(reward_->init(reward_), THALWEG_OK);
  }

  void TearDown() override {
    if (reward_ != nullptr) reward_->destroy(reward_);
  }

  thalweg_status activate(const char* config) const {
    thalweg_activation activation{};
    activation.size = sizeof(activation);
    activation.device = {THALWEG_DEVICE_TYPE_CPU, 0};
    activation.config_json = config;
    activation.assets_dir = "";
    return reward_->activate(reward_, &activation);
  }

  // Frames of 64 x 64, sample after sample.
  thalweg_status score(std::vector<float> rgb, const std::vector<const char*>& prompts, int64_t frames,
                       std::vector<float>& values) const {
    const auto batch = static_cast<int64_t>(prompts.size());
    values.assign(prompts.size() * kDimensions, std::numeric_limits<float>::quiet_NaN());
    const std::vector<int64_t> shape = {batch, frames, 3, 64, 64},
                               strides = {frames * 12288, 12288, 4096, 64, 1},
                               out_shape = {batch, kDimensions}, out_strides = {kDimensions, 1};
    const thalweg_tensor frames_view = view(rgb, shape, strides);
    const thalweg_tensor values_view = view(values, out_shape, out_strides);
    thalweg_score_request request{};
    request.size = sizeof(request);
    request.batch = static_cast<uint32_t>(batch);
    request.frames = &frames_view;
    request.prompts = prompts.data();
    return reward_->score(reward_, &request, &values_view);
  }

  static constexpr int64_t kDimensions = ::scene::kDimensions;
  Heard heard_;
  thalweg_host host_ = {THALWEG_ABI_VERSION_INIT, &heard_, "test", "0", host_extension, host_error};
  const thalweg_reward* reward_ = nullptr;
};

TEST_F(ScenePlugin, NamesItsDimensions) {
  ASSERT_EQ(activate(" { } "), THALWEG_OK);
  ASSERT_EQ(reward_->dimension_count(reward_), 7U);
  EXPECT_STREQ(reward_->dimension_name(reward_, 0), "strict");
  EXPECT_STREQ(reward_->dimension_name(reward_, 1), "soft");
  EXPECT_STREQ(reward_->dimension_name(reward_, 6), "extras");
}

TEST_F(ScenePlugin, RefusesSettings) {
  EXPECT_EQ(activate(R"({"threshold": 1})"), THALWEG_INVALID_ARGUMENT);
  ASSERT_EQ(heard_.errors.size(), 1U);
  EXPECT_NE(heard_.errors[0].find("no settings"), std::string::npos);
}

TEST_F(ScenePlugin, ScoresAsItsPartsDo) {
  ASSERT_EQ(activate("{}"), THALWEG_OK);
  std::vector<float> rgb, values;
  std::vector<std::string> prompts;
  for (std::uint64_t index = 0; index < 40; ++index) {
    const Canvas canvas = Canvas::of(random_scene(31, index), index);
    rgb.insert(rgb.end(), canvas.rgb_3HW.begin(), canvas.rgb_3HW.end());
    prompts.push_back(random_scene(31, index - index % 2).caption);  // every other one is another's
  }
  std::vector<const char*> pointers;
  for (const std::string& prompt : prompts) pointers.push_back(prompt.c_str());
  ASSERT_EQ(score(rgb, pointers, 1, values), THALWEG_OK);
  for (std::size_t b = 0; b < prompts.size(); ++b) {
    const auto expected = Canvas::of(random_scene(31, b), b).score(prompts[b]);
    for (std::size_t k = 0; k < expected.size(); ++k) {
      const float value = values[b * kDimensions + k];
      EXPECT_TRUE(value == expected[k] || (std::isnan(value) && std::isnan(expected[k]))) << b << ' ' << k;
    }
    EXPECT_TRUE(b % 2 == 1 || values[b * kDimensions] == 1.0F) << b;
  }
}

TEST_F(ScenePlugin, AveragesOverFrames) {
  ASSERT_EQ(activate("{}"), THALWEG_OK);
  const Canvas right = Canvas::of(scene_with("a red circle", 1));
  std::vector<float> rgb = right.rgb_3HW, values;
  const Canvas empty;
  for (int i = 0; i < 3; ++i) rgb.insert(rgb.end(), empty.rgb_3HW.begin(), empty.rgb_3HW.end());
  ASSERT_EQ(score(rgb, {"a red circle"}, 4, values), THALWEG_OK);
  EXPECT_EQ(values[0], 0.25F);
  EXPECT_EQ(values[1], 0.25F);
}

TEST_F(ScenePlugin, LeavesWhatItCannotReadUnscored) {
  ASSERT_EQ(activate("{}"), THALWEG_OK);
  std::vector<float> rgb, values;
  for (int i = 0; i < 3; ++i) {
    const Canvas canvas = Canvas::of(scene_with("a red circle", 1));
    rgb.insert(rgb.end(), canvas.rgb_3HW.begin(), canvas.rgb_3HW.end());
  }
  rgb[100] = std::numeric_limits<float>::quiet_NaN();
  for (int again = 0; again < 2; ++again) {
    ASSERT_EQ(score(rgb, {"a red circle", "a portrait of a cat", "a red circle"}, 1, values), THALWEG_OK);
  }
  for (std::size_t k = 0; k < 2 * kDimensions; ++k) EXPECT_TRUE(std::isnan(values[k])) << k;
  EXPECT_EQ(values[2 * kDimensions], 1.0F);
  ASSERT_EQ(heard_.lines.size(), 1U);
  EXPECT_NE(heard_.lines[0].find("portrait"), std::string::npos);
}

}  // namespace
}  // namespace thalweg::scenes
