#include "functions.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

namespace analytic {
namespace {

using nlohmann::json;

double mean_of(const float* x, std::int64_t n) {
  double sum = 0.0;
  for (std::int64_t i = 0; i < n; ++i) sum += x[i];
  return sum / static_cast<double>(n);
}

class Linear final : public Function {
 public:
  explicit Linear(double scale) : scale_(scale) {}
  double value(const float* x, std::int64_t n, double) const override { return scale_ * mean_of(x, n); }
  void vjp(const float*, std::int64_t n, double, double cotangent, float* out) const override {
    std::fill_n(out, n, static_cast<float>(cotangent * scale_ / static_cast<double>(n)));
  }

 private:
  double scale_;
};

class Indicator final : public Function {
 public:
  Indicator(double scale, double threshold) : scale_(scale), threshold_(threshold) {}
  double value(const float* x, std::int64_t n, double) const override {
    const double mean = mean_of(x, n);
    return std::isnan(mean) ? mean : mean > threshold_ ? scale_ : 0.0;
  }
  bool has_gradient() const override { return false; }
  void vjp(const float*, std::int64_t, double, double, float*) const override {
    throw std::logic_error("an indicator has no gradient");
  }

 private:
  double scale_, threshold_;
};

class Quadratic final : public Function {
 public:
  Quadratic(double scale, double center) : scale_(scale), center_(center) {}
  double value(const float* x, std::int64_t n, double) const override {
    double sum = 0.0;
    for (std::int64_t i = 0; i < n; ++i) sum += (x[i] - center_) * (x[i] - center_);
    return -scale_ * sum / static_cast<double>(n);
  }
  void vjp(const float* x, std::int64_t n, double, double cotangent, float* out) const override {
    const double factor = -2.0 * cotangent * scale_ / static_cast<double>(n);
    std::transform(x, x + n, out, [&](float e) { return static_cast<float>(factor * (e - center_)); });
  }

 private:
  double scale_, center_;
};

std::string take_kind(json& config) {
  const auto it = config.find("kind");
  if (it == config.end()) return "linear";
  for (const char* kind : {"linear", "indicator", "quadratic", "soft_linear"}) {
    if (*it != kind) continue;
    config.erase(it);
    return kind;
  }
  throw std::invalid_argument("/kind: must be \"linear\", \"indicator\", \"quadratic\" or \"soft_linear\"");
}

}  // namespace

double take_number(json& config, const char* key, double fallback) {
  const auto it = config.find(key);
  if (it == config.end()) return fallback;
  const auto value = *it;
  config.erase(it);
  if (!value.is_number() || std::abs(value.get<double>()) > 1e6)
    throw std::invalid_argument("/" + std::string(key) + ": must be a number from -1e6 to 1e6");
  return value.get<double>();
}

std::unique_ptr<Function> make_function(json& config, bool noisy) {
  const auto kind = take_kind(config);
  const double scale = take_number(config, "scale", 1.0);
  if (kind == "indicator") return std::make_unique<Indicator>(scale, take_number(config, "threshold", 0.0));
  if (kind == "quadratic") return std::make_unique<Quadratic>(scale, take_number(config, "center", 0.0));
  if (kind == "linear") return std::make_unique<Linear>(scale);
  if (!noisy)
    throw std::invalid_argument(
        "/kind: soft_linear looks at latents and their noise level; write \"id\": "
        "\"org.thalweg.analytic.latents\" beside \"plugin\"");
  return make_soft_linear(config, scale);
}

}  // namespace analytic
