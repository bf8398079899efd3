#include "engine/weights/lora_config.h"

#include <cmath>

#include "engine/core/error.h"
#include "engine/weights/config.h"
#include "engine/weights/safetensors_header.h"

namespace thalweg {
namespace {

constexpr double kMaxAlpha = 1e9, kMinAlpha = 1e-9;
constexpr double kPeftAlpha = 8.0;  // peft.LoraConfig's own, where a config leaves it out

/// PEFT takes a pattern as a regular expression that must match the end of a module's name, from a dot on.
/// Names are what occurs; anything else would be guessed at.
bool matches(std::string pattern, const std::string& module, const std::string& place) {
  const bool whole = pattern.starts_with('^');
  if (whole) pattern.erase(0, 1);
  if (pattern.ends_with('$')) pattern.pop_back();
  std::string name;
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] == '\\' && i + 1 < pattern.size() && pattern[i + 1] == '.') ++i;
    if (std::string_view("*+?()[]{}|\\^$").find(pattern[i]) != std::string_view::npos)
      throw Error(
          place, "the pattern " + shown_name(pattern) + " is a regular expression; only names are supported");
    name += pattern[i];
  }
  if (!module.ends_with(name)) return false;
  return module.size() == name.size() || (!whole && module[module.size() - name.size() - 1] == '.');
}

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

std::optional<double> LoraConfig::stated(const char* pattern, const char* key, const std::string& module,
                                         double low, double high) const {
  if (const auto* patterns = find(pattern)) {
    if (!patterns->is_object()) throw Error(place_.string(), std::string(pattern) + " must be a JSON object");
    for (const auto& [name, value] : patterns->items())
      if (matches(name, module, place_.string()))
        return config_number(*patterns, name, 0.0, low, high, place_);
  }
  if (!find(key)) return std::nullopt;
  return config_number(json_, prefix_ + key, 0.0, low, high, place_);
}

double LoraConfig::scale(const LoraModule& module) const {
  const auto rank = static_cast<double>(module.rank);
  if (const auto r = stated("rank_pattern", "r", module.name, 1.0, static_cast<double>(kMaxLoraRank));
      r && *r != rank)
    throw Error(place_.string(), "says rank " + number(*r) + " for " + shown_name(module.name) +
                                     ", its tensors have " + std::to_string(module.rank));
  auto alpha = stated("alpha_pattern", "lora_alpha", module.name, kMinAlpha, kMaxAlpha);
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
