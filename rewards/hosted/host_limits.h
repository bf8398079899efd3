// What a reward's process may take.
#pragma once

#include <cstdint>

#include "engine/core/fields.h"

namespace thalweg {

struct HostLimits {
  double call_s = 600.0;  // a call, and the start
  int64_t restarts = 3;
  double memory_gib = 0.0;  // of data; 0: not limited

  bool operator==(const HostLimits&) const = default;
};
void describe(Fields& fields, HostLimits& limits);

}  // namespace thalweg
