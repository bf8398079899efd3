// Libraries for these tests: built once a process, in a folder that goes with it.
#pragma once

#include <ATen/ATen.h>

#include <filesystem>
#include <string>
#include <vector>

#include "rewards/plugin_reward.h"
#include "tests/abi/compiler.h"

namespace thalweg::testing {

/// tests/rewards/fixtures/probe.cpp, in a folder of its own together with nothing else.
const std::filesystem::path& probe_library();

/// tests/rewards/fixtures/faulty.c with this FAULT.
std::filesystem::path faulty_library(const std::string& fault);

/// The same built as C++, for a FAULT that throws.
std::filesystem::path throwing_library(const std::string& fault);

/// The program's own plugins, as built.
std::vector<std::filesystem::path> built_plugins();
std::filesystem::path plugin_library(const std::string& name);
std::filesystem::path color_library();

/// Seeded frames [B,F,3,H,W] in [0,1].
at::Tensor random_frames(int64_t B, int64_t F, int64_t H, int64_t W, uint64_t seed = 1);

ScoreInput frames_input(const at::Tensor& frames_BF3HW);

/// Two samples with every field of a request, whose tensors are neither dense nor float32, as what crosses
/// must be.
ScoreInput full_input();

/// For differentiable_score, where nothing fails.
void expect_no_failures(const std::vector<CallFailure>& failures);

/// The place and message of the Error that `body` throws; a failed check when it throws none.
struct Caught {
  std::string place, message;
};
template <class Body>
Caught error_of(Body&& body);

/// The test library with one fault, as the reward of /rewards/0.
inline std::unique_ptr<PluginReward> faulty(const std::string& fault) {
  return std::make_unique<PluginReward>(faulty_library(fault), Json::object(), Activation{}, "/rewards/0");
}

/// The reason of the one failure, which is of the whole call.
inline std::string only(const std::vector<CallFailure>& failures) {
  if (failures.size() != 1) return std::to_string(failures.size()) + " failures";
  EXPECT_EQ(failures[0].dimension, -1);
  return failures[0].reason;
}

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
