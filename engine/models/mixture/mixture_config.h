// config.json of a mixture pipeline.
#pragma once

#include <string>
#include <vector>

#include "engine/models/flow_model.h"
#include "engine/models/mixture/mixture.h"
#include "engine/weights/folder.h"

namespace thalweg {

/// "shape": [C,F,H,W] of a sample, C 1 or 3; "weights", "means", "stds" of every element's law; "prompts":
/// laws of particular prompts, of as many components.
struct MixtureConfig {
  LatentShape shape{1, 1, 1, 1};
  std::vector<std::string> prompts;  // of mixtures[1], mixtures[2], ...
  std::vector<Mixture> mixtures;     // the first is that of every other prompt

  int64_t components() const { return mixtures.front().components(); }
};

/// Bounds of a config's numbers.
inline constexpr double kMixtureLargest = 1e6, kMixtureSmallestWeight = 1e-12, kMixtureSmallestStd = 1e-6;

/// Throws Error naming `path` and the key.
MixtureConfig parse_mixture_config(const Json& json, const std::filesystem::path& path);

/// `json` with the mixtures of `config` in place of its own.
Json with_mixtures(Json json, const MixtureConfig& config);

/// The one component of such a folder.
inline constexpr const char* kMixtureComponent = "mixture";
MixtureConfig read_mixture_config(const ModelFolder& folder);

/// The one shape of its samples. Throws Error (place "") where another is asked for.
const LatentShape& checked_shape(const MixtureConfig& config, int64_t height, int64_t width, int64_t frames);

}  // namespace thalweg
