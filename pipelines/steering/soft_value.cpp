#include "pipelines/steering/soft_value.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/core/error.h"
#include "engine/models/mixture/mixture_config.h"

namespace thalweg {
namespace {

bool close(const std::vector<double>& a, const std::vector<double>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](double x, double y) {
    return std::abs(x - y) <= 1e-6 * std::max({1.0, std::abs(x), std::abs(y)});
  });
}

std::vector<double> numbers(const Json& config, const char* key) {
  const auto it = config.find(key);
  if (it == config.end() || !it->is_array()) return {};
  std::vector<double> list;
  for (const auto& element : *it) list.push_back(element.is_number() ? element.get<double>() : NAN);
  return list;
}

bool is_law_of(const Json& config, const Mixture& mixture) {
  auto weights = numbers(config, "weights");
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  for (auto& weight : weights) weight /= sum;
  return close(weights, mixture.weights) && close(numbers(config, "means"), mixture.means) &&
         close(numbers(config, "stds"), mixture.stds);
}

}  // namespace

void check_soft_values(const std::vector<RewardSpec>& rewards, const std::string& model_path) {
  for (const auto& spec : rewards) {
    if (!spec.config.is_object() || spec.config.value("kind", Json()) != Json("soft_linear")) continue;
    const auto folder = open_model_folder(model_path);
    if (!has_component(folder, kMixtureComponent))
      throw Error(
          spec.pointer + "/config/kind",
          "\"soft_linear\" is the soft value of a Gaussian mixture, which \"" + model_path + "\" is not");
    const auto laws = read_mixture_config(folder).mixtures;
    if (std::none_of(laws.begin(), laws.end(), [&](const auto& law) { return is_law_of(spec.config, law); }))
      throw Error(spec.pointer + "/config",
                  "weights, means and stds are of another mixture than the model's: copy those of \"" +
                      model_path + "/mixture/config.json\"");
  }
}

}  // namespace thalweg
