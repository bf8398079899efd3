// What a reward is made ready for.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <functional>
#include <string>

namespace thalweg {

/// Takes a reward's log lines: severity (0 debug .. 3 error, see thalweg/ext/log.h), reward, text in clean
/// UTF-8. Called on any thread.
using RewardLog = std::function<void(int, const std::string&, const std::string&)>;

/// Sizes are the largest that will come; 0: not known.
struct Activation {
  int64_t max_batch = 0;  // larger batches are scored in parts of this size
  int64_t frames = 0;
  int64_t height = 0;
  int64_t width = 0;
  uint64_t seed = 0;
  at::Device device = at::kCPU;  // where a network of the reward should run
  std::string assets_dir;        // folder of the installation's data files
  RewardLog log;                 // empty: lines are dropped
};

}  // namespace thalweg
