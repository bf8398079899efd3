#include "words.h"

#include <map>

#include "engine/core/error.h"

namespace exported {

using c10::IValue;
using c10::TypeKind;
using thalweg::Error;
using thalweg::Json;

at::ScalarType dtype_of(const std::string& name, const std::string& place) {
  static const std::map<std::string, at::ScalarType> known = {
      {"float32", at::kFloat}, {"float64", at::kDouble}, {"float16", at::kHalf}, {"bfloat16", at::kBFloat16},
      {"int64", at::kLong},    {"int32", at::kInt},      {"int16", at::kShort},  {"int8", at::kChar},
      {"uint8", at::kByte},    {"bool", at::kBool}};
  const auto found = known.find(name);
  if (found == known.end()) throw Error(place, "knows no dtype \"" + name + "\"");
  return found->second;
}

std::optional<c10::IValue> enumeration_of(const Json& json, const c10::TypePtr& real,
                                          const Instance& instance, const std::string& place) {
  const auto kind = real->kind();
  const auto word = [&](const char* key) {
    if (!json.is_object() || json.size() != 1 || !json.contains(key) || !json.at(key).is_string())
      throw Error(place, "must be {\"" + std::string(key) + "\": word}");
    return json.at(key).get<std::string>();
  };
  if (kind == TypeKind::ScalarTypeType) {
    const auto dtype = dtype_of(word("dtype"), place);
    return IValue(dtype == instance.exported ? instance.dtype : dtype);
  }
  if (kind == TypeKind::LayoutType) {
    if (word("layout") != "strided") throw Error(place, "only strided tensors are supported");
    return IValue(at::kStrided);
  }
  if (kind == TypeKind::MemoryFormatType) {
    const std::map<std::string, at::MemoryFormat> known = {
        {"contiguous_format", at::MemoryFormat::Contiguous},
        {"preserve_format", at::MemoryFormat::Preserve},
        {"channels_last", at::MemoryFormat::ChannelsLast},
        {"channels_last_3d", at::MemoryFormat::ChannelsLast3d}};
    const auto found = known.find(word("memory_format"));
    if (found == known.end()) throw Error(place, "is no memory format");
    return IValue(found->second);
  }
  return std::nullopt;
}

}  // namespace exported
