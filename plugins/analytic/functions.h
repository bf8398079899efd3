// Functions of the n elements of a sample. Sums are taken in double precision; a NaN among the elements makes
// the value NaN.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>

namespace analytic {

class Function {
 public:
  virtual ~Function() = default;
  /// `t`: noise level of the elements; functions of clean samples do not look at it.
  virtual double value(const float* x, std::int64_t n, double t) const = 0;
  virtual bool has_gradient() const { return true; }
  /// `cotangent` times the derivative by each element.
  virtual void vjp(const float* x, std::int64_t n, double t, double cotangent, float* out) const = 0;
};

/// By "kind" (absent: linear); takes the keys that it reads out of `config`. Throws std::invalid_argument
/// whose text starts with the key's JSON pointer. `noisy`: elements come with a noise level.
std::unique_ptr<Function> make_function(nlohmann::json& config, bool noisy);

/// log E[e^{c mean(x_0)} | x_t], x_t = (1-t) x_0 + t e, when every element of x_0 is drawn from the mixture
/// config["weights"], ["means"], ["stds"] on its own: the exact process reward of the linear one.
std::unique_ptr<Function> make_soft_linear(nlohmann::json& config, double c);

/// The value of a key, taken out of `config`; `fallback` where it is absent.
double take_number(nlohmann::json& config, const char* key, double fallback);

}  // namespace analytic
