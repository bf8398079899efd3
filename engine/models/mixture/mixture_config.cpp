#include "engine/models/mixture/mixture_config.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <set>

#include "engine/core/error.h"
#include "engine/core/names.h"
#include "engine/weights/config.h"

namespace thalweg {
namespace {

constexpr size_t kMaxComponents = 256, kMaxPrompts = 4096;
constexpr size_t kShownKey = 80;  // of a key in a message, so that what is wrong with it is not cut off
constexpr int64_t kMaxSide = 4096;
// Elements of a sample times components: 81 frames of 480 x 832 in two of them, 0.5 GB as float64.
constexpr int64_t kMaxNumbers = int64_t{1} << 26;
constexpr double kSumTolerance = 1e-6;

void refuse_unknown(const Json& json, const std::vector<std::string>& known, const std::string& under,
                    const std::filesystem::path& path) {
  for (const auto& [key, value] : json.items())
    if (!key.starts_with("_") && std::find(known.begin(), known.end(), key) == known.end())
      throw Error(path.string(), "\"" + under + printable(key, kShownKey) + "\" is no key of a mixture" +
                                     suggestion(key, known));
}

// `under` is what stands before the keys in messages.
Mixture parse_mixture(const Json& json, const std::string& under, const std::filesystem::path& path) {
  const auto numbers = [&](const char* key, double low) {
    return config_numbers(json, key, low, kMixtureLargest, kMaxComponents, path, under);
  };
  const Mixture m{numbers("weights", kMixtureSmallestWeight), numbers("means", -kMixtureLargest),
                  numbers("stds", kMixtureSmallestStd)};
  for (const auto& [key, list] : {std::pair{"means", &m.means}, std::pair{"stds", &m.stds}})
    if (list->size() != m.weights.size())
      throw Error(path.string(), "\"" + under + key + "\" has " + std::to_string(list->size()) +
                                     " numbers, \"" + under + "weights\" " +
                                     std::to_string(m.weights.size()));
  double sum = 0.0;
  for (const double weight : m.weights) sum += weight;
  if (std::abs(sum - 1.0) > kSumTolerance)
    throw Error(path.string(), "\"" + under + "weights\" must sum to 1, not to " + Json(sum).dump());
  return m;
}

LatentShape parse_shape(const Json& json, int64_t components, const std::filesystem::path& path) {
  const auto sizes = config_integers(json, "shape", {1, 1, 1, 1}, 1, kMaxSide, 4, path);
  if (sizes.size() != 4) throw Error(path.string(), "\"shape\" must be [channels, frames, height, width]");
  if (sizes[0] != 1 && sizes[0] != 3)
    throw Error(path.string(), "\"shape[0]\" must be 1 or 3: samples are shown as grey or RGB pictures");
  int64_t left = kMaxNumbers / components;
  for (const auto size : sizes) left /= size;
  if (left == 0)
    throw Error(path.string(), "\"shape\" is too large: elements times components may be at most " +
                                   std::to_string(kMaxNumbers));
  return {sizes[0], sizes[1], sizes[2], sizes[3]};
}

Json json_of(const Mixture& m) {
  return {{"weights", m.weights}, {"means", m.means}, {"stds", m.stds}};
}

}  // namespace

MixtureConfig parse_mixture_config(const Json& json, const std::filesystem::path& path) {
  MixtureConfig config;
  config.mixtures.push_back(parse_mixture(json, "", path));
  refuse_unknown(json, {"shape", "weights", "means", "stds", "prompts"}, "", path);
  config.shape = parse_shape(json, config.components(), path);
  const auto prompts = json.find("prompts");
  if (prompts == json.end() || prompts->is_null()) return config;
  if (!prompts->is_object() || prompts->size() > kMaxPrompts)
    throw Error(path.string(), "\"prompts\" must be an object of at most " + std::to_string(kMaxPrompts) +
                                   " prompts, each with weights, means and stds");
  for (const auto& [prompt, mixture] : prompts->items()) {
    if (prompt.empty())
      throw Error(path.string(), "\"prompts\" names the empty prompt: its mixture is the one outside");
    const auto place = "prompts/" + printable(prompt, kShownKey);
    if (!mixture.is_object())
      throw Error(path.string(), "\"" + place + "\" must be an object with weights, means and stds");
    const auto under = place + "/";
    config.prompts.push_back(prompt);
    config.mixtures.push_back(parse_mixture(mixture, under, path));
    refuse_unknown(mixture, {"weights", "means", "stds"}, under, path);
    if (config.mixtures.back().components() != config.components())
      throw Error(path.string(), "\"" + under +
                                     "weights\" must have as many components as the mixture outside, " +
                                     std::to_string(config.components()));
  }
  return config;
}

Json with_mixtures(Json json, const MixtureConfig& config) {
  json.update(json_of(config.mixtures.front()));
  for (size_t i = 0; i < config.prompts.size(); ++i)
    json["prompts"][config.prompts[i]] = json_of(config.mixtures[i + 1]);
  return json;
}

MixtureConfig read_mixture_config(const ModelFolder& folder) {
  return parse_mixture_config(component_config(folder, kMixtureComponent),
                              folder.root / kMixtureComponent / "config.json");
}

const LatentShape& checked_shape(const MixtureConfig& config, int64_t height, int64_t width, int64_t frames) {
  const auto& s = config.shape;
  if (height != s.height || width != s.width || frames != s.frames)
    throw Error("", "samples of this mixture have height " + std::to_string(s.height) + ", width " +
                        std::to_string(s.width) + " and frames " + std::to_string(s.frames) +
                        " (\"shape\" of its config.json); ask for these");
  return s;
}

}  // namespace thalweg
