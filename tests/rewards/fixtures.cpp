#include "tests/rewards/fixtures.h"

#include <ATen/CPUGeneratorImpl.h>

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

}  // namespace thalweg::testing
