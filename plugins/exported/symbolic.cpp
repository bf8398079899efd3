#include "symbolic.h"

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace exported {
namespace {

using c10::IValue;
using Values = std::vector<IValue>;

int64_t integer(const IValue& value) {
  if (!value.isInt()) throw std::runtime_error("takes integers");
  return value.toInt();
}

double real(const IValue& value) {
  if (value.isInt()) return static_cast<double>(value.toInt());
  if (!value.isDouble()) throw std::runtime_error("takes numbers");
  return value.toDouble();
}

/// Of two integers exactly, of anything else in double.
template <class Exact, class Double>
IValue either(const Values& v, Exact exact, Double in_double) {
  if (!v[0].isInt() || !v[1].isInt()) return IValue(static_cast<double>(in_double(real(v[0]), real(v[1]))));
  int64_t result = 0;
  if (exact(v[0].toInt(), v[1].toInt(), &result)) throw std::runtime_error("does not fit into 64 bits");
  return IValue(result);
}

IValue add(const Values& v) {
  return either(
      v, [](int64_t a, int64_t b, int64_t* r) { return __builtin_add_overflow(a, b, r); },
      [](double a, double b) { return a + b; });
}
IValue sub(const Values& v) {
  return either(
      v, [](int64_t a, int64_t b, int64_t* r) { return __builtin_sub_overflow(a, b, r); },
      [](double a, double b) { return a - b; });
}
IValue mul(const Values& v) {
  return either(
      v, [](int64_t a, int64_t b, int64_t* r) { return __builtin_mul_overflow(a, b, r); },
      [](double a, double b) { return a * b; });
}
IValue minimum(const Values& v) {
  return either(
      v, [](int64_t a, int64_t b, int64_t* r) { return *r = std::min(a, b), false; },
      [](double a, double b) { return std::min(a, b); });
}
IValue maximum(const Values& v) {
  return either(
      v, [](int64_t a, int64_t b, int64_t* r) { return *r = std::max(a, b), false; },
      [](double a, double b) { return std::max(a, b); });
}

/// Python's: rounded towards minus infinity, and the remainder that goes with it.
int64_t floor_quotient(int64_t a, int64_t b) {
  if (b == 0) throw std::runtime_error("divides by zero");
  if (a == INT64_MIN && b == -1) throw std::runtime_error("does not fit into 64 bits");
  return a / b - ((a % b != 0 && (a < 0) != (b < 0)) ? 1 : 0);
}
IValue floordiv(const Values& v) {
  return floor_quotient(integer(v[0]), integer(v[1]));
}
IValue mod(const Values& v) {
  const auto a = integer(v[0]), b = integer(v[1]);
  return IValue(a - floor_quotient(a, b) * b);
}
IValue truediv(const Values& v) {
  const auto divisor = real(v[1]);
  if (divisor == 0) throw std::runtime_error("divides by zero");
  return IValue(real(v[0]) / divisor);
}
IValue negative(const Values& v) {
  if (v[0].isDouble()) return IValue(-v[0].toDouble());
  return sub({IValue(int64_t{0}), v[0]});
}

/// A double as an integer, which it must be able to be.
IValue whole(double value) {
  if (!(std::abs(value) < 9e18)) throw std::runtime_error("does not fit into 64 bits");
  return IValue(static_cast<int64_t>(value));
}
IValue trunc(const Values& v) {
  return whole(std::trunc(real(v[0])));
}
IValue floor(const Values& v) {
  return whole(std::floor(real(v[0])));
}
IValue ceil(const Values& v) {
  return whole(std::ceil(real(v[0])));
}
IValue round(const Values& v) {
  return whole(std::nearbyint(real(v[0])));
}
IValue to_float(const Values& v) {
  return IValue(real(v[0]));
}
IValue square_root(const Values& v) {
  return IValue(std::sqrt(real(v[0])));
}

IValue size(const Values& v) {
  if (!v[0].isTensor()) throw std::runtime_error("takes a tensor");
  return IValue(v[0].toTensor().size(integer(v[1])));
}
IValue numel(const Values& v) {
  if (!v[0].isTensor()) throw std::runtime_error("takes a tensor");
  return IValue(v[0].toTensor().numel());
}

const std::vector<Symbolic>& table() {
  static const std::vector<Symbolic> all = {
      {"size", size, {"self", "dim"}}, {"numel", numel, {"self"}},       {"add", add, {"a", "b"}},
      {"sub", sub, {"a", "b"}},        {"mul", mul, {"a", "b"}},         {"floordiv", floordiv, {"a", "b"}},
      {"mod", mod, {"a", "b"}},        {"truediv", truediv, {"a", "b"}}, {"neg", negative, {"a"}},
      {"min", minimum, {"a", "b"}},    {"max", maximum, {"a", "b"}},     {"float", to_float, {"a"}},
      {"trunc", trunc, {"a"}},         {"floor", floor, {"a"}},          {"ceil", ceil, {"a"}},
      {"round", round, {"a"}},         {"sqrt", square_root, {"a"}}};
  return all;
}

}  // namespace

const Symbolic* find_symbolic(const std::string& name) {
  for (const auto& function : table())
    if (name == function.name) return &function;
  return nullptr;
}

std::vector<std::string> symbolic_names() {
  std::vector<std::string> names;
  for (const auto& function : table()) names.emplace_back(function.name);
  return names;
}

}  // namespace exported
