// Libraries for these tests: built once a process, in a folder that goes with it.
#pragma once

#include <ATen/ATen.h>

#include <filesystem>
#include <string>
#include <vector>

#include "rewards/reward_model.h"
#include "tests/abi/compiler.h"

namespace thalweg::testing {

/// tests/rewards/fixtures/probe.cpp, in a folder of its own together with nothing else.
const std::filesystem::path& probe_library();

/// tests/rewards/fixtures/faulty.c with this FAULT.
std::filesystem::path faulty_library(const std::string& fault);

/// The program's own plugins, as built.
std::vector<std::filesystem::path> built_plugins();
std::filesystem::path plugin_library(const std::string& name);
std::filesystem::path color_library();

/// Seeded frames [B,F,3,H,W] in [0,1].
at::Tensor random_frames(int64_t B, int64_t F, int64_t H, int64_t W, uint64_t seed = 1);

ScoreInput frames_input(const at::Tensor& frames_BF3HW);

/// The place and message of the Error that `body` throws; a failed check when it throws none.
struct Caught {
  std::string place, message;
};
template <class Body>
Caught error_of(Body&& body);

}  // namespace thalweg::testing

#include "engine/core/error.h"

template <class Body>
thalweg::testing::Caught thalweg::testing::error_of(Body&& body) {
  try {
    body();
  } catch (const Error& e) {
    return {e.place(), e.message()};
  }
  ADD_FAILURE() << "no Error was thrown";
  return {};
}
