#include "operand.h"

#include <ATen/ScalarOps.h>
#include <ATen/core/List.h>

#include <cmath>
#include <limits>
#include <stdexcept>

#include "engine/core/error.h"
#include "words.h"

namespace exported {
namespace {

using c10::IValue;
using c10::TypeKind;
using thalweg::Error;
using thalweg::Json;
using Type = Operand::Type;

constexpr size_t kMaxListLength = 4096;

at::Tensor wrapped(const at::Scalar& number, at::Device device) {
  return at::native::wrapped_scalar_tensor(number, device);
}

IValue as_type(const IValue& value, Type type, at::Device device) {
  const bool number = value.isInt() || value.isDouble() || value.isBool();
  switch (type) {
    case Type::tensor:
    case Type::optional_tensor:
      if (value.isTensor()) return value;
      if (number) return IValue(wrapped(value.toScalar(), device));
      break;
    case Type::integer:
      if (value.isInt()) return value;
      break;
    case Type::real:
      if (value.isDouble()) return value;
      if (value.isInt()) return IValue(static_cast<double>(value.toInt()));
      break;
    case Type::number:
      if (number) return value;
      break;
    case Type::boolean:
      if (value.isBool()) return value;
      break;
    case Type::other:
      return value;
  }
  throw std::runtime_error("is given a value of type " + value.tagKind() + " where it takes another");
}

IValue list_of(const std::vector<IValue>& items, Type type) {
  switch (type) {
    case Type::tensor: {
      c10::List<at::Tensor> list;
      for (const auto& item : items) list.push_back(item.toTensor());
      return list;
    }
    case Type::optional_tensor: {
      c10::List<std::optional<at::Tensor>> list;
      for (const auto& item : items)
        list.push_back(item.isNone() ? std::optional<at::Tensor>() : item.toTensor());
      return list;
    }
    case Type::integer: {
      c10::List<int64_t> list;
      for (const auto& item : items) list.push_back(item.toInt());
      return list;
    }
    case Type::real: {
      c10::List<double> list;
      for (const auto& item : items) list.push_back(item.toDouble());
      return list;
    }
    case Type::boolean: {
      c10::List<bool> list;
      for (const auto& item : items) list.push_back(item.toBool());
      return list;
    }
    default:
      throw std::runtime_error("takes a list that is not supported");
  }
}

/// A JSON number, a truth value, or {"float": "inf" | "-inf" | "nan"}.
IValue number_of(const Json& json, const std::string& place) {
  if (json.is_boolean()) return json.get<bool>();
  if (json.is_number_unsigned() && json.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX))
    throw Error(place, "does not fit into 64 bits");
  if (json.is_number_integer()) return json.get<int64_t>();
  if (json.is_number_float()) return json.get<double>();
  if (json.is_object() && json.size() == 1 && json.contains("float")) {
    const auto& word = json.at("float");
    const auto inf = std::numeric_limits<double>::infinity();
    if (word == "inf") return inf;
    if (word == "-inf") return -inf;
    if (word == "nan") return std::numeric_limits<double>::quiet_NaN();
  }
  throw Error(
      place, "must be a number or a value, not " + json.dump(-1, ' ', false, Json::error_handler_t::replace));
}

bool is_reference(const Json& json) {
  return json.is_object() && json.size() == 1 && json.contains("value") && json.at("value").is_string();
}

Type type_of(const c10::TypePtr& type, const std::string& place) {
  switch (type->kind()) {
    case TypeKind::TensorType:
      return Type::tensor;
    case TypeKind::IntType:
      return Type::integer;
    case TypeKind::FloatType:
      return Type::real;
    case TypeKind::NumberType:
      return Type::number;
    case TypeKind::BoolType:
      return Type::boolean;
    default:
      throw Error(place, "takes a " + type->str() + ", which a graph cannot give");
  }
}

Operand constant(IValue value) {
  Operand operand;
  operand.constant = std::move(value);
  return operand;
}

/// A value of the run or a number, as `type`.
Operand bind_one(const Json& json, Type type, const Graph& graph, int limit, at::Device device,
                 const std::string& place) {
  Operand operand;
  operand.type = type;
  if (is_reference(json)) {
    operand.slot = graph.slot_of(json.at("value").get_ref<const std::string&>(), limit, place);
    return operand;
  }
  if (json.is_null() && type == Type::optional_tensor) return operand;
  try {
    operand.constant = as_type(number_of(json, place), type, device);
  } catch (const std::runtime_error& e) {
    if (dynamic_cast<const Error*>(&e) != nullptr) throw;
    throw Error(place, e.what());
  }
  return operand;
}

Operand bind_list(const Json& json, const c10::TypePtr& element, std::optional<int32_t> repeated,
                  const Graph& graph, int limit, at::Device device, const std::string& place) {
  Operand list;
  list.is_list = true;
  const bool optional = element->kind() == TypeKind::OptionalType;
  list.type = type_of(optional ? element->castRaw<c10::OptionalType>()->getElementType() : element, place);
  if (optional && list.type != Type::tensor) throw Error(place, "takes a list that a graph cannot give");
  if (optional) list.type = Type::optional_tensor;
  if (json.is_array()) {
    if (json.size() > kMaxListLength)
      throw Error(place, "is a list of more than " + std::to_string(kMaxListLength));
    for (size_t i = 0; i < json.size(); ++i)
      list.items.push_back(
          bind_one(json[i], list.type, graph, limit, device, place + "/" + std::to_string(i)));
  } else if (repeated) {  // int[2]: one number stands for both
    list.items.assign(static_cast<size_t>(*repeated), bind_one(json, list.type, graph, limit, device, place));
  } else {
    throw Error(place, "must be a list");
  }
  bool fixed = true;
  list.for_slots([&](int) { fixed = false; });
  if (!fixed) return list;
  std::vector<IValue> items;
  for (const auto& item : list.items) items.push_back(item.constant);
  Operand ready = constant(list_of(items, list.type));
  return ready;
}

c10::TypePtr without_optional(const c10::TypePtr& type) {
  return type->kind() == TypeKind::OptionalType ? type->castRaw<c10::OptionalType>()->getElementType() : type;
}

}  // namespace

c10::IValue Operand::get(const std::vector<IValue>& values, at::Device device) const {
  if (slot >= 0) return as_type(values[static_cast<size_t>(slot)], type, device);
  if (items.empty()) return constant;
  std::vector<IValue> list;
  list.reserve(items.size());
  for (const auto& item : items) list.push_back(item.get(values, device));
  return list_of(list, type);
}

Operand bind_operand(const Json& json, const c10::Argument& argument, const Graph& graph, int limit,
                     const Instance& instance, const std::string& place) {
  if (argument.type()->kind() == TypeKind::OptionalType && json.is_null()) return constant(IValue());
  const auto type = without_optional(argument.type());
  if (auto word = enumeration_of(json, without_optional(argument.real_type()), instance, place))
    return constant(std::move(*word));
  if (type->kind() == TypeKind::StringType) {
    if (!json.is_string()) throw Error(place, "must be a text");
    return constant(json.get<std::string>());
  }
  if (type->kind() == TypeKind::ListType)
    return bind_list(json, type->castRaw<c10::ListType>()->getElementType(), argument.N(), graph, limit,
                     instance.device, place);
  return bind_one(json, type_of(type, place), graph, limit, instance.device, place);
}

Operand bind_number(const Json& json, const Graph& graph, int limit, const std::string& place) {
  return bind_one(json, Type::other, graph, limit, at::kCPU, place);
}

}  // namespace exported
