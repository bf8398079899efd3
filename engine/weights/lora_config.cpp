#include "engine/weights/lora_config.h"

#include <cmath>

#include "engine/core/error.h"
#include "engine/weights/config.h"
#include "engine/weights/safetensors_header.h"

namespace thalweg {
namespace {

constexpr double kMaxAlpha = 1e9, kMinAlpha = 1e-9;
constexpr double kPeftAlpha = 8.0;  // peft.LoraConfig's own, where a config leaves it out

std::string number(double value) {
  return Json(value).dump();
}

}  // namespace

LoraConfig::LoraConfig(Json json, std::string prefix, std::filesystem::path place)
    : json_(std::move(json)), prefix_(std::move(prefix)), place_(std::move(place)) {
  if (!json_.is_object()) throw Error(place_.string(), "must be a JSON object");
  const auto refuse = [&](const std::string& what) {
    throw Error(place_.string(), what + " is not supported");
  };
  if (config_bool(json_, prefix_ + "use_dora", false, place_)) refuse("DoRA");
  if (config_bool(json_, prefix_ + "lora_bias", false, place_)) refuse("a LoRA with biases");
  const auto kind = config_text(json_, prefix_ + "peft_type", "LORA", place_);
  if (kind != "LORA") refuse("an adapter of the kind " + shown_name(kind));
  if (const auto* start = find("init_lora_weights"); start && start->is_string()) {
    const auto name = start->get<std::string>();
    if (name != "gaussian" && name != "eva" && name != "orthogonal")
      throw Error(place_.string(),
                  "the start " + shown_name(name) +
                      " changes the base model too, and the file holds only the difference from that; "
                      "save it with PEFT's path_initial_model_for_weight_conversion");
  }
  rank_stabilised_ = config_bool(json_, prefix_ + "use_rslora", false, place_);
  ranks_ = patterns("rank_pattern", 1.0, static_cast<double>(kMaxLoraRank));
  alphas_ = patterns("alpha_pattern", kMinAlpha, kMaxAlpha);
}

LoraConfig LoraConfig::of_metadata(const Metadata& metadata, const std::filesystem::path& file) {
  const auto place = file.string() + " (" + kAdapterMetadata + ")";
  const auto it = metadata.find(kAdapterMetadata);
  if (it == metadata.end()) return {Json::object(), "", place};
  return {parse_json(it->second, place), "transformer.", place};
}

LoraConfig LoraConfig::of_peft(const std::filesystem::path& config) {
  return {parse_json_file(config), "", config};
}

const Json* LoraConfig::find(const std::string& key) const {
  const auto it = json_.find(prefix_ + key);
  return it == json_.end() || it->is_null() ? nullptr : &*it;
}

LoraConfig::Patterns LoraConfig::patterns(const char* key, double low, double high) const {
  Patterns patterns;
  const auto* json = find(key);
  if (!json) return patterns;
  if (!json->is_object()) throw Error(place_.string(), std::string(key) + " must be a JSON object");
  for (const auto& [name, value] : json->items())
    patterns.emplace_back(LoraPattern(name, place_.string()),
                          config_number(*json, name, 0.0, low, high, place_));
  return patterns;
}

std::optional<double> LoraConfig::stated(const Patterns& patterns, const char* key, const std::string& module,
                                         double low, double high) const {
  for (const auto& [pattern, value] : patterns)
    if (pattern.matches(module)) return value;
  if (!find(key)) return std::nullopt;
  return config_number(json_, prefix_ + key, 0.0, low, high, place_);
}

double LoraConfig::scale(const LoraModule& module) const {
  const auto rank = static_cast<double>(module.rank);
  if (const auto r = stated(ranks_, "r", module.name, 1.0, static_cast<double>(kMaxLoraRank));
      r && *r != rank)
    throw Error(place_.string(), "says rank " + number(*r) + " for " + shown_name(module.name) +
                                     ", its tensors have " + std::to_string(module.rank));
  auto alpha = stated(alphas_, "lora_alpha", module.name, kMinAlpha, kMaxAlpha);
  if (!alpha && !module.alpha && find("r")) alpha = kPeftAlpha;
  if (module.alpha && !(*module.alpha >= kMinAlpha && *module.alpha <= kMaxAlpha))
    throw Error(place_.string(), "the tensor " + shown_name(module.name + ".alpha") + " is " +
                                     number(*module.alpha) + "; alpha must be a positive number");
  if (module.alpha && alpha && std::abs(*module.alpha - *alpha) > 1e-3 * *alpha)
    throw Error(place_.string(), "says alpha " + number(*alpha) + " for " + shown_name(module.name) +
                                     ", its tensor says " + number(*module.alpha));
  const double strength = module.alpha ? *module.alpha : alpha.value_or(rank);
  return strength / (rank_stabilised_ && (module.alpha || alpha) ? std::sqrt(rank) : rank);
}

}  // namespace thalweg
