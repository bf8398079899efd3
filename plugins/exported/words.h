// The file's words for LibTorch's enumerations, and what becomes of dtypes.
#pragma once

#include <ATen/core/function_schema.h>
#include <ATen/core/ivalue.h>

#include <optional>
#include <string>

#include "engine/core/json.h"

namespace exported {

/// What the network runs on: device and dtype arguments of the graph become these.
struct Instance {
  at::Device device = at::kCPU;
  at::ScalarType exported = at::kFloat;  // dtype of the network as exported
  at::ScalarType dtype = at::kFloat;     // in which it runs
};

/// float32, float64, float16, bfloat16, int64, int32, int16, int8, uint8, bool. Throws thalweg::Error at
/// `place`.
at::ScalarType dtype_of(const std::string& name, const std::string& place);

/// {"dtype": word}, {"layout": word} or {"memory_format": word} as the integer that the dispatcher takes,
/// where `real` (an argument's type without its optional) is one of these; else none. Throws thalweg::Error
/// at `place`.
std::optional<c10::IValue> enumeration_of(const thalweg::Json& json, const c10::TypePtr& real,
                                          const Instance& instance, const std::string& place);

}  // namespace exported
