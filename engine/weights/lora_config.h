// How strongly a LoRA counts: rank and alpha as the metadata of diffusers ("lora_adapter_metadata") or PEFT's
// adapter_config.json state them. Both are the keys of peft.LoraConfig.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/core/json.h"
#include "engine/weights/lora_pattern.h"
#include "engine/weights/safetensors.h"

namespace thalweg {

inline constexpr int64_t kMaxLoraRank = 65536;
inline constexpr const char* kAdapterMetadata = "lora_adapter_metadata";
inline constexpr const char* kPeftConfig = "adapter_config.json";

/// A module's name and rank, and the tensor "<module>.alpha" where there is one.
struct LoraModule {
  std::string name;
  int64_t rank = 0;
  std::optional<double> alpha;
};

class LoraConfig {
 public:
  /// Of a file's metadata, or nothing stated. Throws Error naming `file` for what is not supported: DoRA,
  /// another kind of adapter, a base model that the adapter's start has changed (PiSSA and its kind).
  static LoraConfig of_metadata(const Metadata& metadata, const std::filesystem::path& file);
  /// Of adapter_config.json.
  static LoraConfig of_peft(const std::filesystem::path& config);

  /// alpha / rank of one module, or alpha / sqrt(rank) with rsLoRA; 1 where nothing is stated, as diffusers
  /// takes it. Throws Error where rank or alpha contradict the tensors.
  double scale(const LoraModule& module) const;

 private:
  LoraConfig(Json json, std::string prefix, std::filesystem::path place);
  using Patterns = std::vector<std::pair<LoraPattern, double>>;
  const Json* find(const std::string& key) const;
  Patterns patterns(const char* key, double low, double high) const;
  /// The value of the first pattern that fits the module, else of `key`; none where neither is there.
  std::optional<double> stated(const Patterns& patterns, const char* key, const std::string& module,
                               double low, double high) const;

  Json json_ = Json::object();
  std::string prefix_;  // of its keys
  std::filesystem::path place_;
  bool rank_stabilised_ = false;
  Patterns ranks_, alphas_;
};

}  // namespace thalweg
