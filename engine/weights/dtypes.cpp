#include "engine/weights/dtypes.h"

#include <array>

namespace thalweg {
namespace {

const std::array<StoredDtype, 22> kDtypes{{
    {"BOOL", 8, at::kBool},
    {"U8", 8, at::kByte},
    {"I8", 8, at::kChar},
    {"I16", 16, at::kShort},
    {"I32", 32, at::kInt},
    {"I64", 64, at::kLong},
    {"F16", 16, at::kHalf},
    {"BF16", 16, at::kBFloat16},
    {"F32", 32, at::kFloat},
    {"F64", 64, at::kDouble},
    {"F8_E4M3", 8, at::kFloat8_e4m3fn},
    {"F8_E5M2", 8, at::kFloat8_e5m2},
    {"F8_E8M0", 8, {}},
    {"F6_E2M3", 6, {}},
    {"F6_E3M2", 6, {}},
    {"F4", 4, {}},
    {"U16", 16, {}},
    {"U32", 32, {}},
    {"U64", 64, {}},
    {"C64", 64, {}},
    {"F8_E4M3FNUZ", 8, {}},
    {"F8_E5M2FNUZ", 8, {}},
}};

}  // namespace

const StoredDtype* find_stored_dtype(std::string_view name) {
  for (const auto& stored : kDtypes)
    if (stored.name == name) return &stored;
  return nullptr;
}

const StoredDtype* find_stored_dtype(at::ScalarType dtype) {
  for (const auto& stored : kDtypes)
    if (stored.dtype == dtype) return &stored;
  return nullptr;
}

}  // namespace thalweg
