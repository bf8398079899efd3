#include "tests/rewards/fixtures.h"

#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

namespace thalweg::testing {

const std::filesystem::path& probe_library() {
  static const auto library = [] {
    const auto path = scratch_dir() / "probe" / "probe.so";
    build_plugin(source_dir() / "tests/rewards/fixtures/probe.cpp", path);
    return path;
  }();
  return library;
}

std::filesystem::path faulty_library(const std::string& fault) {
  const auto path = scratch_dir() / "faulty" / (fault + ".so");
  if (!std::filesystem::exists(path))
    build_plugin(source_dir() / "tests/rewards/fixtures/faulty.c", path, "-DFAULT=" + fault);
  return path;
}

std::filesystem::path throwing_library(const std::string& fault) {
  const auto path = scratch_dir() / "throwing" / (fault + ".so");
  if (std::filesystem::exists(path)) return path;
  std::filesystem::create_directories(path.parent_path());
  const auto built = run_command(
      cxx_compiler() + " -x c++ -std=c++17 -fPIC -shared -DFAULT=" + fault + " " + include_flag() + " '" +
      (source_dir() / "tests/rewards/fixtures/faulty.c").string() + "' -o '" + path.string() + "'");
  EXPECT_EQ(built.status, 0) << built.output;
  return path;
}

void expect_no_failures(const std::vector<CallFailure>& failures) {
  for (const auto& failure : failures) ADD_FAILURE() << failure.reason;
}

std::vector<std::filesystem::path> built_plugins() {
  return {std::filesystem::path(THALWEG_BUILD_DIR) / "plugins"};
}

std::filesystem::path plugin_library(const std::string& name) {
  return built_plugins().front() / (name + ".so");
}

std::filesystem::path color_library() {
  return plugin_library("color");
}

at::Tensor random_frames(int64_t B, int64_t F, int64_t H, int64_t W, uint64_t seed) {
  auto generator = at::detail::createCPUGenerator(seed);
  return at::rand({B, F, 3, H, W}, generator, at::TensorOptions(at::kFloat));
}

ScoreInput frames_input(const at::Tensor& frames_BF3HW) {
  ScoreInput input;
  input.frames_BF3HW = frames_BF3HW;
  return input;
}

ScoreInput full_input() {
  auto input = frames_input(random_frames(2, 3, 5, 4).to(at::kDouble).transpose(3, 4));
  input.prompts = {"a", "four"};
  input.sample_ids = {7, 9};
  input.seeds = {11, 13};
  input.group_ids = {-3, 5};
  input.metadata_json = {"{}", "{\"n\":1}"};
  input.step_index = 4;
  input.num_steps = 10;
  input.fps = 12.5;
  input.mask_BF1HW = at::full({2, 3, 1, 4, 5}, 0.75, at::kDouble);
  return input;
}

}  // namespace thalweg::testing
