// Samples that are not numbers: no run that ends with them has succeeded, whatever the cause.
#pragma once

#include <cstdint>
#include <string>

#include "engine/core/error.h"

namespace thalweg {

/// The job may be right as far as anyone can tell beforehand, so the program exits with 1.
class NotFinite : public Error {
 public:
  using Error::Error;
};

/// Throws NotFinite, saying how many and which settings to turn, if `bad` of the `total` samples of `phase`
/// (sample, held-out, ...) are not finite.
inline void require_finite_samples(const std::string& phase, int64_t bad, int64_t total) {
  if (bad == 0) return;
  throw NotFinite("",
                  phase + ": " + std::to_string(bad) + " of " + std::to_string(total) +
                      " samples are not finite numbers (they are scored by nothing and shown black); lower "
                      "what drives them: guidance_scale, the strength (lambda) of steering, the noise "
                      "level, the learning rate; float16 overflows where bfloat16 and float32 do not");
}

}  // namespace thalweg
