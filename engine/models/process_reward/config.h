// The configuration of a latent process reward: config.json of its folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "engine/core/json.h"

namespace thalweg {

inline constexpr const char* kProcessRewardClass = "LatentProcessReward";

struct ProcessRewardConfig {
  /// The first `depth` blocks of a generator, frozen, or with a LoRA where `rank` is above 0.
  struct Backbone {
    std::string path;  // of the generator's folder; relative: to the reward's own
    std::string variant, dtype = "float32";
    std::string sha256;  // of what is read of that folder; empty: not known yet
    int64_t depth = 4, rank = 0, max_sequence_length = 256;
    double alpha = 16.0;
  };
  /// Convolutions and joint attention of latents and words: no generator is needed.
  struct Own {
    int64_t width = 64, blocks = 2, layers = 2, words = 32, vocabulary = 4096;
  };
  struct Head {
    int64_t width = 128, heads = 4, queries = 4;
    std::string pool = "attention";  // by learned queries; or "mean"
  };

  std::string network = "backbone";  // or "own"
  int64_t channels = 4, frames = 1;  // of the latents
  Backbone backbone;
  Own own;
  Head head;
  double scale = 1.0, offset = 0.0;  // reward = offset + scale * network
  Json trained = Json::object();     // on what and how; for people
};

/// Throws Error naming `path` and the key for what is missing, out of bounds or of another class.
ProcessRewardConfig parse_process_reward(const Json& config, const std::filesystem::path& path);
Json to_json(const ProcessRewardConfig& config);

}  // namespace thalweg
