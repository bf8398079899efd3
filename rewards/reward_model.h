// One activated reward.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "engine/core/json.h"
#include "rewards/plugin_host.h"
#include "rewards/score_input.h"

namespace thalweg {

/// What an instance is made ready for. Sizes are the largest that will come; 0: not known.
struct Activation {
  int64_t max_batch = 0;  // larger batches are scored in parts of this size
  int64_t frames = 0;
  int64_t height = 0;
  int64_t width = 0;
  uint64_t seed = 0;
  at::Device device = at::kCPU;  // where a network of the plugin should run
  std::string assets_dir;        // folder of the installation's data files
  PluginLog log;                 // takes the plugin's log lines; empty: dropped
};

/// Calls may come from any thread; they wait for each other. The instance is torn down with the object,
/// its library stays mapped until the program ends.
class RewardModel {
 public:
  /// Samples that one call left without a value.
  struct Failure {
    std::string reason;
    int64_t samples = 0;
    int64_t dimension = -1;  // the column; -1: the whole call failed
  };

  /// Loads the library (see find_plugin) and activates its reward `id` ("": the first) with `config`, an
  /// object. Throws Error at place + "/config" when the plugin refuses the configuration (or deeper, when
  /// its text starts with a JSON pointer), and at `place` otherwise; an empty place is the library's path.
  RewardModel(const std::filesystem::path& path, const Json& config, const Activation& activation,
              const std::string& place = "", const std::string& id = "");
  ~RewardModel();
  RewardModel(const RewardModel&) = delete;
  RewardModel& operator=(const RewardModel&) = delete;

  const std::vector<std::string>& dimension_names() const;  // K of them
  std::vector<std::string> required_inputs() const;         // see input_names in plugin.h
  std::vector<std::string> optional_inputs() const;
  bool nondeterministic() const;
  /// Where it takes tensors: the GPU of a CUDA run if the plugin can, else the CPU. Others are copied there.
  at::Device inputs_on() const;

  /// values_BK, float32 on the CPU; NaN where a sample was not scored. When the plugin fails the whole call
  /// all is NaN and last_error() says why. Throws Error only for an input that lacks what the reward
  /// requires or has a wrong shape.
  /// `failures`: what is wrong with each call and column, said again even where last_error() is "".
  at::Tensor score(const ScoreInput& input, std::vector<Failure>* failures = nullptr);

  /// True when the frames (or, failing that, the latents) can be differentiated.
  bool has_gradient() const { return gradient_input_ != 0; }
  bool gradient_is_of_latents() const;

  /// sum over k of cotangent_BK[b,k] d values[b,k] / d input[b], float32 on the CPU, in the shape of the
  /// frames (or latents: gradient_is_of_latents). A sample without a usable gradient is NaN throughout;
  /// one whose cotangents are all 0 has gradient 0. A failed call: all NaN, and last_error() says why.
  /// Throws Error as score does, and when there is no gradient.
  at::Tensor gradient(const ScoreInput& input, const at::Tensor& cotangent_BK);

  /// Why the last score or gradient call failed; "" when it did not.
  std::string last_error() const;

 private:
  struct Instance;
  at::Tensor score_part(const ScoreInput& part, std::vector<Failure>* failures);
  at::Tensor gradient_part(const ScoreInput& part, const at::Tensor& cotangent_BK);
  void check_sizes(const ScoreInput& input) const;

  std::unique_ptr<Instance> instance_;
  uint64_t gradient_input_ = 0;
};

}  // namespace thalweg
