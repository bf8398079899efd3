// Names of dtypes as jobs write them.
#pragma once

#include <c10/core/ScalarType.h>

#include <string>

namespace thalweg {

/// "float32", "float16" or "bfloat16" (the job's schema allows no other).
inline c10::ScalarType dtype_named(const std::string& name) {
  return name == "bfloat16"  ? c10::ScalarType::BFloat16
         : name == "float16" ? c10::ScalarType::Half
                             : c10::ScalarType::Float;
}

}  // namespace thalweg
