// What a server of thalweg-reward/1 says of itself: GET /v1/reward.
#pragma once

#include <string>
#include <vector>

#include "engine/core/json.h"
#include "options.h"

namespace remote {

struct RewardDescription {
  std::string id, version, weights_sha256;
  std::vector<std::string> dimensions;
  bool reference = false, metadata = false, gradient = false, nondeterministic = false;
  size_t max_batch = 1;
};

/// Throws thalweg::Error: at "/url" for a description that is none, or asks for what is not sent; at
/// "/format" and
/// "/expect/..." where it is not what the configuration says.
RewardDescription description_of(const thalweg::Json& json, const RewardProtocolOptions& options);

}  // namespace remote
