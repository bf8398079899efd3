#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "functions.h"

namespace analytic {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxComponents = 256;

struct Component {
  double log_weight, mean, std;
};
using Law = std::vector<Component>;

struct Slope {
  double value = 0.0, derivative = 0.0;
};

/// log density of one element of x_t, up to a constant that no law changes.
Slope log_density(const Law& law, double x, double t) {
  // One pass; the sum is kept relative to the largest term so far, so that nothing overflows.
  double largest = -std::numeric_limits<double>::infinity(), sum = 0.0, slope = 0.0;
  for (const auto& k : law) {
    const double variance = (1.0 - t) * (1.0 - t) * k.std * k.std + t * t;
    const double offset = x - (1.0 - t) * k.mean;
    const double term = k.log_weight - 0.5 * std::log(variance) - 0.5 * offset * offset / variance;
    if (term > largest) {
      const double shrink = std::exp(largest - term);
      sum *= shrink;
      slope *= shrink;
      largest = term;
    }
    const double share = std::exp(term - largest);
    sum += share;
    slope -= share * offset / variance;
  }
  return {largest + std::log(sum), slope / sum};
}

class SoftLinear final : public Function {
 public:
  SoftLinear(Law law, double c) : law_(std::move(law)), c_(c) {}

  double value(const float* x, std::int64_t n, double t) const override {
    const auto tilted = tilted_by(c_ / static_cast<double>(n));
    double sum = 0.0;
    for (std::int64_t i = 0; i < n; ++i) {
      if (std::isnan(x[i])) return x[i];
      sum += log_density(tilted, x[i], t).value - log_density(law_, x[i], t).value;
    }
    return sum;
  }
  void vjp(const float* x, std::int64_t n, double t, double cotangent, float* out) const override {
    const auto tilted = tilted_by(c_ / static_cast<double>(n));
    for (std::int64_t i = 0; i < n; ++i)
      out[i] = static_cast<float>(
          cotangent * (log_density(tilted, x[i], t).derivative - log_density(law_, x[i], t).derivative));
  }

 private:
  // E[e^{cx} | x_t] = q_t(x) / p_t(x), q = p e^{cx} with its mass left as it is.
  Law tilted_by(double c) const {
    Law tilted = law_;
    for (auto& k : tilted) {
      k.log_weight += c * k.mean + 0.5 * c * c * k.std * k.std;
      k.mean += c * k.std * k.std;
    }
    return tilted;
  }

  Law law_;
  double c_;
};

std::vector<double> take_list(json& config, const char* key, double low) {
  const std::string place = "/" + std::string(key) + ": ";
  const auto list = config.value(key, json::array());
  config.erase(key);
  if (!list.is_array() || list.empty() || list.size() > kMaxComponents)
    throw std::invalid_argument(place + "must be a list of 1 to " + std::to_string(kMaxComponents) +
                                " numbers, the model's own");
  std::vector<double> numbers;
  for (const auto& element : list) {
    if (!element.is_number() || !(element.get<double>() >= low) || element.get<double>() > 1e6)
      throw std::invalid_argument(place + "must hold numbers within a mixture's bounds");
    numbers.push_back(element.get<double>());
  }
  return numbers;
}

}  // namespace

std::unique_ptr<Function> make_soft_linear(json& config, double c) {
  const auto weights = take_list(config, "weights", 1e-12), means = take_list(config, "means", -1e6),
             stds = take_list(config, "stds", 1e-6);
  if (means.size() != weights.size() || stds.size() != weights.size())
    throw std::invalid_argument("/weights: weights, means and stds must be of one length");
  Law law;
  for (std::size_t k = 0; k < weights.size(); ++k) law.push_back({std::log(weights[k]), means[k], stds[k]});
  return std::make_unique<SoftLinear>(std::move(law), c);
}

}  // namespace analytic
