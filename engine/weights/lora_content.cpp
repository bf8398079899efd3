#include "engine/weights/lora_content.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <map>
#include <optional>

#include "engine/core/error.h"
#include "engine/weights/lora_config.h"
#include "engine/weights/lora_keys.h"
#include "engine/weights/safetensors_header.h"

namespace thalweg {
namespace {

using Path = std::filesystem::path;

constexpr const char* kPeftWeights = "adapter_model.safetensors";
constexpr const char* kDiffusersWeights = "pytorch_lora_weights.safetensors";

/// The file to read: `path`, or the one of the two known names in the folder `path`.
Path file_of(const Path& path) {
  std::error_code ec;
  if (!std::filesystem::is_directory(path, ec)) return path;
  std::vector<Path> found;
  for (const char* name : {kPeftWeights, kDiffusersWeights})
    if (std::filesystem::exists(path / name, ec)) found.push_back(path / name);
  if (found.size() == 1) return found.front();
  throw Error(path.string(), std::string("is a folder with ") + (found.empty() ? "neither " : "both ") +
                                 kPeftWeights + (found.empty() ? " nor " : " and ") + kDiffusersWeights +
                                 "; name the LoRA file");
}

/// The tensors of one module while they are collected.
struct Draft {
  LoraPair pair;
  std::string up_name, alpha_name;
  at::Tensor alpha;
};

class Collector {
 public:
  explicit Collector(Path file) : file_(std::move(file)) {}

  void add(const LoraKey& key, const std::string& name, const at::Tensor& tensor) {
    auto& draft = drafts_[key.module];
    if (key.part == LoraPart::down) {
      put(draft.pair.name, draft.pair.down, name, tensor);
      draft.pair.layout = key.layout;
    } else if (key.part == LoraPart::up) {
      put(draft.up_name, draft.pair.up, name, tensor);
    } else {
      put(draft.alpha_name, draft.alpha, name, tensor);
    }
    draft.pair.module = key.module;
    draft.pair.flattened = key.flattened;
  }

  std::vector<LoraPair> pairs(const LoraConfig& config) {
    std::vector<LoraPair> pairs;
    for (auto& [module, draft] : drafts_) {
      check(draft);
      const LoraModule stated{module, draft.pair.rank(), alpha_of(draft)};
      draft.pair.scale = config.scale(stated);
      pairs.push_back(std::move(draft.pair));
    }
    return pairs;
  }

 private:
  [[noreturn]] void fail(const std::string& name, const std::string& message) const {
    throw Error(file_.string(), "LoRA tensor " + shown_name(name) + " " + message);
  }

  void put(std::string& slot_name, at::Tensor& slot, const std::string& name,
           const at::Tensor& tensor) const {
    if (!slot_name.empty()) fail(name, "is there twice, as " + shown_name(slot_name) + " too");
    slot_name = name;
    slot = tensor;
  }

  at::Tensor checked(const std::string& name, const at::Tensor& tensor) const {
    if (!at::isFloatingType(tensor.scalar_type()) || (tensor.dim() != 2 && tensor.dim() != 4))
      fail(name, "is not a matrix of floating-point numbers");
    if (tensor.numel() == 0) fail(name, "is empty");
    // Eight-bit floats know no arithmetic.
    const auto values = tensor.element_size() == 1 ? tensor.to(at::kFloat) : tensor;
    if (!at::isfinite(values).all().item<bool>()) fail(name, "holds NaN or infinity");
    return values;
  }

  void check(Draft& draft) const {
    auto& pair = draft.pair;
    if (pair.name.empty() || draft.up_name.empty())
      fail(!pair.name.empty()      ? pair.name
           : draft.up_name.empty() ? draft.alpha_name
                                   : draft.up_name,
           "has no partner");
    pair.down = checked(pair.name, pair.down);
    pair.up = checked(draft.up_name, pair.up);
    if (pair.up.dim() == 4 && (pair.up.size(2) != 1 || pair.up.size(3) != 1))
      fail(draft.up_name, "is a convolution wider than 1 x 1");
    if (pair.down.dim() == 4 && pair.up.dim() == 2) pair.up = pair.up.unsqueeze(2).unsqueeze(3);
    const auto rank = pair.rank();
    if (pair.up.dim() != pair.down.dim() || pair.up.size(1) != rank)
      fail(draft.up_name, "does not fit " + shown_name(pair.name) + ": their ranks differ");
    if (rank > kMaxLoraRank) fail(pair.name, "has rank " + std::to_string(rank));
  }

  std::optional<double> alpha_of(const Draft& draft) const {
    if (draft.alpha_name.empty()) return std::nullopt;
    if (draft.alpha.numel() != 1 || draft.alpha.is_complex() || draft.alpha.scalar_type() == at::kBool)
      fail(draft.alpha_name, "is not one number");
    return draft.alpha.to(at::kDouble).item<double>();
  }

  Path file_;
  std::map<std::string, Draft> drafts_;
};

/// PEFT writes alpha into a file of its own; without it the strength of the LoRA is unknown.
LoraConfig config_of(const LoraContent& content, bool of_peft) {
  const auto beside = content.file.parent_path() / kPeftConfig;
  std::error_code ec;
  const bool named = content.file.filename() == kPeftWeights;
  const bool stated = content.metadata.count(kAdapterMetadata) > 0;
  if ((of_peft || named) && !stated) {
    if (std::filesystem::exists(beside, ec)) return LoraConfig::of_peft(beside);
    throw Error(content.file.string(), std::string("is a LoRA of PEFT, whose alpha stands in ") +
                                           kPeftConfig + ", which is not beside it");
  }
  return LoraConfig::of_metadata(content.metadata, content.file);
}

}  // namespace

int64_t LoraPair::rank() const {
  return down.size(0);
}

LoraContent read_lora_content(const Path& path) {
  LoraContent content;
  content.file = file_of(path);
  auto file = read_safetensors(content.file);
  content.metadata = std::move(file.metadata);
  Collector collector(content.file);
  bool of_peft = false;
  for (const auto& [name, tensor] : file.tensors) {
    if (is_text_encoder_key(name)) {
      content.text_encoder.push_back(name);
      continue;
    }
    const auto key = parse_lora_key(name, content.file.string());
    if (!key) {
      content.unknown.push_back(name);
      continue;
    }
    of_peft = of_peft || name.starts_with("base_model.");
    collector.add(*key, name, tensor);
  }
  content.pairs = collector.pairs(config_of(content, of_peft));
  return content;
}

}  // namespace thalweg
