#include "engine/weights/lora_file.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "engine/core/error.h"
#include "engine/core/json.h"
#include "engine/core/names.h"
#include "engine/weights/lora_config.h"
#include "engine/weights/lora_keys.h"
#include "engine/weights/safetensors_header.h"

namespace thalweg {
namespace {

using Path = std::filesystem::path;

constexpr std::string_view kPrefix = "transformer.";
constexpr std::string_view kDown = ".lora_A.weight";
constexpr std::string_view kUp = ".lora_B.weight";

/// Throws where a pair is not whole, not finite, or of another rank than it should be.
void check_pairs(const TensorMap& tensors, const LoraStrength& strength, const Path& path) {
  for (const auto& [name, tensor] : tensors) {
    const auto fail = [&, name = name](const std::string& message) {
      throw Error(path.string(), "LoRA tensor " + shown_name(name) + " " + message);
    };
    const bool down = name.ends_with(kDown);
    if (!down && !name.ends_with(kUp)) fail("is not named <module>.lora_A.weight or <module>.lora_B.weight");
    const auto module = name.substr(0, name.size() - kDown.size());
    if (!tensors.count(module + std::string(down ? kUp : kDown))) fail("has no partner");
    if (!tensor.defined() || (tensor.dim() != 2 && tensor.dim() != 4) ||
        !at::isFloatingType(tensor.scalar_type()))
      fail("is not a matrix of floating-point numbers");
    const auto rank = tensor.size(down ? 0 : 1);
    if (rank < 1 || rank > kMaxLoraRank) fail("has rank " + std::to_string(rank));
    if (rank != strength.rank_of(module))
      fail("has rank " + std::to_string(rank) + ", not " + std::to_string(strength.rank_of(module)));
    if (!at::isfinite(tensor).all().item<bool>()) fail("holds NaN or infinity");
  }
}

/// PEFT's lora_alpha is a whole number wherever it can be.
Json alpha_json(double alpha, const Path& path) {
  if (!std::isfinite(alpha) || alpha <= 0.0) throw Error(path.string(), "alpha must be a positive number");
  return alpha == std::floor(alpha) && std::abs(alpha) < 1e15 ? Json(static_cast<int64_t>(alpha))
                                                              : Json(alpha);
}

/// As Python's json.dumps(..., indent=2, sort_keys=True) writes it. A layer of another rank or alpha stands
/// in the patterns under its whole name, "^" before it as diffusers writes it: no other layer's name ends so.
std::string adapter_metadata(const LoraStrength& strength, std::vector<std::string> target_modules,
                             const Path& path) {
  std::sort(target_modules.begin(), target_modules.end());
  Json config;
  const auto key = [](const char* name) { return std::string(kPrefix) + name; };
  Json alphas = Json::object(), ranks = Json::object();
  for (const auto& [layer, alpha] : strength.alphas) alphas["^" + layer] = alpha_json(alpha, path);
  for (const auto& [layer, rank] : strength.ranks) ranks["^" + layer] = rank;
  if (!alphas.empty()) config[key("alpha_pattern")] = std::move(alphas);
  config[key("lora_alpha")] = alpha_json(strength.alpha, path);
  config[key("r")] = strength.rank;
  if (!ranks.empty()) config[key("rank_pattern")] = std::move(ranks);
  config[key("target_modules")] = std::move(target_modules);
  try {
    return config.dump(2, ' ', /*ensure_ascii=*/true);
  } catch (const nlohmann::json::exception&) {
    throw Error(path.string(), "a target module's name is not valid UTF-8");
  }
}

/// A pair of one layer, and what its product is multiplied by.
struct Found {
  LoraResolver::Part part;
  double scale;
};

[[noreturn]] void refuse(const LoraContent& content, const LoraFile& lora, const LoraNames& names) {
  const auto model = names.layers.empty() ? "" : ", the model has " + shown_name(names.layers.front().name);
  if (content.pairs.empty() && lora.unmatched.empty() && lora.text_encoder.empty())
    throw Error(content.file.string(), "holds no tensor");
  if (content.pairs.empty())
    throw Error(content.file.string(),
                "holds no LoRA pair of the model in any known layout; it holds " +
                    shown_name((lora.unmatched.empty() ? lora.text_encoder : lora.unmatched).front()) +
                    " for example" + model);
  throw Error(content.file.string(), "not one of its " + std::to_string(content.pairs.size()) +
                                         " modules is a layer of the model: it adapts " +
                                         shown_name(content.pairs.front().module) + " (" +
                                         content.pairs.front().layout + ") for example" + model +
                                         family_guess(lora.unmatched));
}

/// The commonest value of a map, the smallest of those.
template <typename T>
T commonest(const std::map<std::string, T>& values) {
  std::map<T, int64_t> counts;
  for (const auto& [name, value] : values) ++counts[value];
  return std::max_element(counts.begin(), counts.end(),
                          [](const auto& a, const auto& b) { return a.second < b.second; })
      ->first;
}

void take(LoraFile& lora, const std::vector<Found>& found) {
  for (const auto& [part, scale] : found) {
    lora.tensors[part.layer + std::string(kDown)] = part.down;
    lora.tensors[part.layer + std::string(kUp)] = part.up;
    lora.scales[part.layer] = scale;
  }
  lora.scale = commonest(lora.scales);
  std::erase_if(lora.scales, [&](const auto& entry) { return entry.second == lora.scale; });
}

}  // namespace

void write_lora(const Path& path, const TensorMap& tensors, const LoraStrength& strength,
                const std::vector<std::string>& target_modules, const Metadata& metadata) {
  if (tensors.empty()) throw Error(path.string(), "a LoRA file without tensors would be loaded as nothing");
  check_pairs(tensors, strength, path);
  TensorMap prefixed;
  for (const auto& [name, tensor] : tensors) prefixed[std::string(kPrefix) + name] = tensor;
  Metadata all{{"format", "pt"}, {kAdapterMetadata, adapter_metadata(strength, target_modules, path)}};
  for (const auto& [key, value] : metadata)
    if (!all.emplace(key, value).second)
      throw Error(path.string(), "the metadata key \"" + key + "\" is written by the LoRA writer itself");
  write_safetensors(path, prefixed, all);
}

LoraFile read_lora(const Path& path, const LoraNames& names) {
  auto content = read_lora_content(path);
  const auto place = content.file.string();
  const LoraResolver resolver(names);
  LoraFile lora;
  lora.metadata = std::move(content.metadata);
  lora.text_encoder = std::move(content.text_encoder);
  std::vector<Found> found;
  std::map<std::string, std::string> named;  // layer -> tensor of the file that adapts it
  for (const auto& pair : content.pairs) {
    auto parts = resolver.resolve(pair, place);
    if (parts.empty()) {
      lora.unmatched.push_back(pair.module);
      continue;
    }
    ++lora.matched;
    for (auto& part : parts) {
      const auto [other, fresh] = named.emplace(part.layer, pair.name);
      if (!fresh)
        throw Error(place, "tensors " + shown_name(other->second) + " and " + shown_name(pair.name) +
                               " both adapt the layer " + part.layer);
      found.push_back({std::move(part), pair.scale});
    }
  }
  lora.unmatched.insert(lora.unmatched.end(), content.unknown.begin(), content.unknown.end());
  if (lora.matched == 0) refuse(content, lora, names);
  take(lora, found);
  return lora;
}

double LoraFile::scale_of(const std::string& layer) const {
  const auto it = scales.find(layer);
  return it == scales.end() ? scale : it->second;
}

LoraStrength LoraFile::strength() const {
  LoraStrength strength;
  for (const auto& [name, tensor] : tensors) {
    if (!name.ends_with(kDown)) continue;
    const auto layer = name.substr(0, name.size() - kDown.size());
    strength.ranks[layer] = tensor.size(0);
    strength.alphas[layer] = scale_of(layer) * static_cast<double>(tensor.size(0));
  }
  strength.rank = commonest(strength.ranks);
  strength.alpha = commonest(strength.alphas);
  std::erase_if(strength.ranks, [&](const auto& entry) { return entry.second == strength.rank; });
  std::erase_if(strength.alphas, [&](const auto& entry) { return entry.second == strength.alpha; });
  return strength;
}

std::string LoraFile::note() const {
  if (unmatched.empty()) return "";
  constexpr size_t kShown = 3;
  std::string names;
  for (size_t i = 0; i < std::min(kShown, unmatched.size()); ++i)
    names += (i == 0 ? "" : ", ") + shown_name(unmatched[i]);
  const auto count = unmatched.size();
  return std::to_string(count) + " of " + std::to_string(count + static_cast<size_t>(matched)) +
         " modules match no layer of the model and are left out: " + names + (count > kShown ? ", ..." : "");
}

}  // namespace thalweg
