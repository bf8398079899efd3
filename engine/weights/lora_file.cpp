#include "engine/weights/lora_file.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "engine/core/error.h"
#include "engine/core/json.h"
#include "engine/core/names.h"
#include "engine/weights/config.h"
#include "engine/weights/safetensors_header.h"

namespace thalweg {
namespace {

using Path = std::filesystem::path;

constexpr std::string_view kPrefix = "transformer.";
constexpr std::string_view kDown = ".lora_A.weight";
constexpr std::string_view kUp = ".lora_B.weight";
constexpr const char* kMetadataKey = "lora_adapter_metadata";
constexpr int64_t kMaxRank = 65536;

/// The common rank of the pairs; throws where one is not whole, not finite, or of another rank.
int64_t check_pairs(const TensorMap& tensors, const Path& path) {
  int64_t rank = 0;
  for (const auto& [name, tensor] : tensors) {
    const auto fail = [&, name = name](const std::string& message) {
      throw Error(path.string(), "LoRA tensor " + shown_name(name) + " " + message);
    };
    const bool down = name.ends_with(kDown);
    if (!down && !name.ends_with(kUp)) fail("is not named <module>.lora_A.weight or <module>.lora_B.weight");
    const auto module = name.substr(0, name.size() - kDown.size());
    if (!tensors.count(module + std::string(down ? kUp : kDown))) fail("has no partner");
    if (!tensor.defined() || tensor.dim() != 2 || !at::isFloatingType(tensor.scalar_type()))
      fail("is not a matrix of floating-point numbers");
    const auto own = tensor.size(down ? 0 : 1);
    if (own < 1 || own > kMaxRank) fail("has rank " + std::to_string(own));
    if (rank != 0 && own != rank)
      fail("has rank " + std::to_string(own) + ", others " + std::to_string(rank) +
           ": one rank a file is supported");
    rank = own;
    if (!at::isfinite(tensor).all().item<bool>()) fail("holds NaN or infinity");
  }
  return rank;
}

/// alpha / rank as the file's metadata says.
double scale_of(const Metadata& metadata, int64_t rank, const Path& path) {
  const auto it = metadata.find(kMetadataKey);
  if (it == metadata.end()) return 1.0;
  const auto config = parse_json(it->second, path.string() + " (" + kMetadataKey + ")");
  const auto key = [](const char* name) { return std::string(kPrefix) + name; };
  for (const char* pattern : {"rank_pattern", "alpha_pattern"})
    if (config.contains(key(pattern)) && !config.at(key(pattern)).empty())
      throw Error(path.string(),
                  "\"" + key(pattern) + "\" is not supported: one rank and alpha for all layers");
  if (config_bool(config, key("use_dora"), false, path)) throw Error(path.string(), "DoRA is not supported");
  const auto stated = config_integer(config, key("r"), rank, 1, kMaxRank, path);
  if (stated != rank)
    throw Error(path.string(), "its metadata says rank " + std::to_string(stated) + ", its tensors have " +
                                   std::to_string(rank));
  const auto alpha = config_number(config, key("lora_alpha"), static_cast<double>(rank), 0.0, 1e9, path);
  const auto r = static_cast<double>(rank);
  return alpha / (config_bool(config, key("use_rslora"), false, path) ? std::sqrt(r) : r);
}

/// As Python's json.dumps(..., indent=2, sort_keys=True) writes it.
std::string adapter_metadata(int64_t rank, double alpha, std::vector<std::string> target_modules,
                             const Path& path) {
  std::sort(target_modules.begin(), target_modules.end());
  Json config;
  const auto key = [](const char* name) { return std::string(kPrefix) + name; };
  // PEFT's lora_alpha is a whole number wherever it can be.
  if (alpha == std::floor(alpha) && std::abs(alpha) < 1e15)
    config[key("lora_alpha")] = static_cast<int64_t>(alpha);
  else
    config[key("lora_alpha")] = alpha;
  config[key("r")] = rank;
  config[key("target_modules")] = std::move(target_modules);
  try {
    return config.dump(2, ' ', /*ensure_ascii=*/true);
  } catch (const nlohmann::json::exception&) {
    throw Error(path.string(), "a target module's name is not valid UTF-8");
  }
}

}  // namespace

void write_lora(const Path& path, const TensorMap& tensors, int64_t rank, double alpha,
                const std::vector<std::string>& target_modules, const Metadata& metadata) {
  if (tensors.empty()) throw Error(path.string(), "a LoRA file without tensors would be loaded as nothing");
  if (!std::isfinite(alpha) || alpha < 0.0) throw Error(path.string(), "alpha must be a number from 0");
  if (const auto found = check_pairs(tensors, path); found != rank)
    throw Error(path.string(),
                "the adapter's rank is " + std::to_string(found) + ", not " + std::to_string(rank));
  TensorMap prefixed;
  for (const auto& [name, tensor] : tensors) prefixed[std::string(kPrefix) + name] = tensor;
  Metadata all{{"format", "pt"}, {kMetadataKey, adapter_metadata(rank, alpha, target_modules, path)}};
  for (const auto& [key, value] : metadata)
    if (!all.emplace(key, value).second)
      throw Error(path.string(), "the metadata key \"" + key + "\" is written by the LoRA writer itself");
  write_safetensors(path, prefixed, all);
}

LoraFile read_lora(const Path& path) {
  auto file = read_safetensors(path);
  LoraFile lora;
  lora.metadata = std::move(file.metadata);
  for (auto& [name, tensor] : file.tensors) {
    if (name.ends_with(".alpha") || name.ends_with(".dora_scale") || name.ends_with(".lora_magnitude_vector"))
      throw Error(path.string(), "tensor " + shown_name(name) +
                                     " is not supported: alpha belongs into the metadata, DoRA is not known");
    if (name.starts_with(kPrefix) && (name.ends_with(kDown) || name.ends_with(kUp)))
      lora.tensors[name.substr(kPrefix.size())] = std::move(tensor);
    else
      lora.unused.push_back(name);
  }
  if (lora.tensors.empty())
    throw Error(
        path.string(),
        "no tensor is named transformer.<module>.lora_A.weight as diffusers writes them" +
            (lora.unused.empty() ? "" : " (it holds " + shown_name(lora.unused.front()) + " for example)"));
  lora.scale = scale_of(lora.metadata, check_pairs(lora.tensors, path), path);
  return lora;
}

}  // namespace thalweg
