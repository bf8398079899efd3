// A bundled plugin as a program sees it: through its one symbol and the C interface.
#pragma once

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "plugins/include/thalweg/ext/log.h"
#include "plugins/include/thalweg/ext/note.h"
#include "plugins/include/thalweg/reward.h"

namespace thalweg::scenes {

class LoadedReward : public testing::Test {
 protected:
  /// `name`: that of the library in the build's folder of plugins.
  explicit LoadedReward(std::string name) : name_(std::move(name)) {}

  void SetUp() override {
    const char* build = std::getenv("THALWEG_BUILD_DIR");
    const std::string path =
        std::string(build != nullptr ? build : THALWEG_BUILD_DIR) + "/plugins/" + name_ + ".so";
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

  /// `shape`: F, 3, H, W of each sample; `rgb`: sample after sample; `values`: rows of as many columns as the
  /// reward has.
  thalweg_status score(std::vector<float> rgb, const std::vector<const char*>& prompts,
                       const std::array<int64_t, 4>& shape, std::vector<float>& values) const {
    const auto batch = static_cast<int64_t>(prompts.size());
    const auto columns = static_cast<int64_t>(reward_->dimension_count(reward_));
    values.assign(static_cast<std::size_t>(batch * columns), std::numeric_limits<float>::quiet_NaN());
    const auto [frames, channels, height, width] = shape;
    const std::vector<int64_t> rgb_shape = {batch, frames, channels, height, width},
                               strides = {frames * channels * height * width, channels * height * width,
                                          height * width, width, 1},
                               out_shape = {batch, columns}, out_strides = {columns, 1};
    const thalweg_tensor frames_view = view(rgb, rgb_shape, strides);
    const thalweg_tensor values_view = view(values, out_shape, out_strides);
    thalweg_score_request request{};
    request.size = sizeof(request);
    request.batch = static_cast<uint32_t>(batch);
    request.frames = &frames_view;
    request.prompts = prompts.data();
    return reward_->score(reward_, &request, &values_view);
  }

  struct Heard {
    std::vector<std::string> errors, lines;
    std::vector<std::pair<uint32_t, std::string>> notes;
  };
  Heard heard_;
  thalweg_host host_ = {THALWEG_ABI_VERSION_INIT, &heard_, "test", "0", extension, set_error};
  const thalweg_reward* reward_ = nullptr;

 private:
  static Heard& heard_by(const thalweg_host* host) { return *static_cast<Heard*>(host->host_data); }

  static void set_error(const thalweg_host* host, thalweg_status, const char* text) {
    heard_by(host).errors.emplace_back(text);
  }

  static const void* extension(const thalweg_host*, const char* id) {
    static const thalweg_host_log log = {[](const thalweg_host* host, thalweg_log_severity,
                                            const char* text) { heard_by(host).lines.emplace_back(text); }};
    static const thalweg_host_note note = {[](const thalweg_host* host, uint32_t index, const char* reason) {
      heard_by(host).notes.emplace_back(index, reason);
    }};
    if (std::string(id) == THALWEG_EXT_LOG) return &log;
    return std::string(id) == THALWEG_EXT_NOTE ? &note : nullptr;
  }

  static thalweg_tensor view(std::vector<float>& data, const std::vector<int64_t>& shape,
                             const std::vector<int64_t>& strides) {
    return {data.data(),
            {THALWEG_DEVICE_TYPE_CPU, 0},
            static_cast<int32_t>(shape.size()),
            {THALWEG_DTYPE_FLOAT, 32, 1},
            shape.data(),
            strides.data(),
            0};
  }

  std::string name_;
};

}  // namespace thalweg::scenes
