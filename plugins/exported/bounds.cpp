#include "bounds.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <stdexcept>
#include <string>

namespace exported {
namespace {

using c10::IValue;
using torch::jit::Stack;

constexpr double kMaxElements = 1LL << 32;  // a real reward is far below

/// "aten::arange" takes its length as a number, which may come from the sizes.
void require_short_range(const Stack& arguments) {
  double span = 0;
  for (const auto& value : arguments)
    if (value.isInt() || value.isDouble()) span = std::max(span, std::abs(value.toScalar().toDouble()));
  if (!(span <= kMaxElements)) throw std::runtime_error("asks for a longer range than a reward may");
}

at::ScalarType result_type(const IValue& a, const IValue& b) {
  if (!a.isTensor()) return at::result_type(a.toScalar(), b.toTensor());
  if (!b.isTensor()) return at::result_type(a.toTensor(), b.toScalar());
  return at::result_type(a.toTensor(), b.toTensor());
}

/// Processors trap where integers are divided by 0, and the least of them by -1; LibTorch looks for 0 only,
/// and only in some. The divisor counts as the type of the result: 2^32 - 1 is -1 in 32 bits.
void require_divisor(const Stack& arguments) {
  const auto type = result_type(arguments[0], arguments[1]);
  if (!at::isIntegralType(type, true)) return;
  const auto& given = arguments[1];
  const auto divisor =
      given.isTensor() ? given.toTensor() : at::scalar_tensor(given.toScalar(), at::dtype(at::kLong));
  const auto as_divided = divisor.to(type).to(at::kLong);
  if (as_divided.eq(0).logical_or(as_divided.eq(-1)).any().item<bool>())
    throw std::runtime_error("divides integers by 0 or -1, which a graph may not");
}

/// div(self, other, rounding_mode); without a mode it divides in floating point.
void require_divisor_if_rounded(const Stack& arguments) {
  if (!arguments[2].isNone()) require_divisor(arguments);
}

/// avg_pool2d and avg_pool3d, whose last argument is `divisor_override`.
void require_positive_divisor(const Stack& arguments) {
  const auto& divisor = arguments.back();
  if (divisor.isInt() && divisor.toInt() < 1)
    throw std::runtime_error("takes a divisor_override of 1 or more");
}

/// grid_sampler's modes of interpolation and padding, of 3 each: of another, LibTorch writes no values.
void require_modes(const Stack& arguments) {
  for (const size_t i : {2, 3})
    if (arguments[i].isInt() && (arguments[i].toInt() < 0 || arguments[i].toInt() > 2))
      throw std::runtime_error("has no mode " + std::to_string(arguments[i].toInt()));
}

}  // namespace

bool is_bounded(const IValue& value) {
  if (!value.isIntList()) return true;
  double product = 1;
  for (const int64_t size : value.toIntVector())
    product *= std::max(1.0, std::abs(static_cast<double>(size)));
  return product <= kMaxElements;
}

Check check_of(const c10::FunctionSchema& schema) {
  static const std::map<std::string, Check> checks = {
      {"aten::arange", require_short_range},          {"aten::linspace", require_short_range},
      {"aten::remainder", require_divisor},           {"aten::fmod", require_divisor},
      {"aten::floor_divide", require_divisor},        {"aten::div", require_divisor_if_rounded},
      {"aten::avg_pool2d", require_positive_divisor}, {"aten::avg_pool3d", require_positive_divisor},
      {"aten::grid_sampler", require_modes},          {"aten::grid_sampler_2d", require_modes}};
  const auto found = checks.find(schema.name());
  if (found == checks.end()) return nullptr;
  const bool plain_division = schema.name() == "aten::div" && schema.arguments().size() == 2;
  return plain_division ? nullptr : found->second;
}

}  // namespace exported
