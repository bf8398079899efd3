// What a reward's process may take, and what it may reach.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/core/fields.h"

namespace thalweg {

struct HostLimits {
  double call_s = 600.0;  // a call, and the start
  int64_t restarts = 3;
  double memory_gib = 0.0;  // of data; 0: not limited
  bool sandbox = true;      // what follows is read only then
  bool network = false;
  std::vector<std::string> files = {};     // to read, beside those that the configuration names
  std::vector<std::string> writable = {};  // to write

  bool operator==(const HostLimits&) const = default;
};
void describe(Fields& fields, HostLimits& limits);

/// Throws Error at a path that is not there, or a key that nothing reads. `pointer`: of the limits.
void check(const HostLimits& limits, const std::string& pointer);

}  // namespace thalweg
