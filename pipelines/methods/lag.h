// How slowly a role follows the policy. The step counts are those of the method (iterations, or optimizer
// steps).
#pragma once

#include <cstdint>
#include <string>

#include "engine/core/fields.h"

namespace thalweg {

/// role <- d role + (1 - d) policy after step n = 1, 2, ...
struct Lag {
  std::string name = "ramp";
  double initial = 0.0, rate = 0.001;
  int64_t start = 0;
  double maximum = 0.5;

  /// d = min(initial + rate (n - start), maximum), `initial` before `start`; of a preset, with its numbers.
  double at(int64_t n) const;
};

/// An object: "name" of a preset, or "ramp" with the four numbers beside it.
void describe(Fields& fields, Field field, Lag& lag);

}  // namespace thalweg
