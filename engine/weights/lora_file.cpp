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
    if (!tensor.defined() || (tensor.dim() != 2 && tensor.dim() != 4) ||
        !at::isFloatingType(tensor.scalar_type()))
      fail("is not a matrix of floating-point numbers");
    const auto own = tensor.size(down ? 0 : 1);
    if (own < 1 || own > kMaxLoraRank) fail("has rank " + std::to_string(own));
    if (rank != 0 && own != rank)
      fail("has rank " + std::to_string(own) + ", others " + std::to_string(rank) +
           ": one rank a file is supported");
    rank = own;
    if (!at::isfinite(tensor).all().item<bool>()) fail("holds NaN or infinity");
  }
  return rank;
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

/// One scale for all layers: the common one, or else 1, each pair's own being multiplied into its lora_B.
void take(LoraFile& lora, const std::vector<Found>& found) {
  const bool common =
      std::all_of(found.begin(), found.end(), [&](const Found& f) { return f.scale == found.front().scale; });
  lora.scale = common ? found.front().scale : 1.0;
  for (const auto& [part, scale] : found) {
    lora.tensors[part.layer + std::string(kDown)] = part.down;
    lora.tensors[part.layer + std::string(kUp)] = common ? part.up : part.up.to(at::kFloat) * scale;
  }
}

}  // namespace

void write_lora(const Path& path, const TensorMap& tensors, int64_t rank, double alpha,
                const std::vector<std::string>& target_modules, const Metadata& metadata) {
  if (tensors.empty()) throw Error(path.string(), "a LoRA file without tensors would be loaded as nothing");
  if (!std::isfinite(alpha) || alpha <= 0.0) throw Error(path.string(), "alpha must be a positive number");
  if (const auto found = check_pairs(tensors, path); found != rank)
    throw Error(path.string(),
                "the adapter's rank is " + std::to_string(found) + ", not " + std::to_string(rank));
  TensorMap prefixed;
  for (const auto& [name, tensor] : tensors) prefixed[std::string(kPrefix) + name] = tensor;
  Metadata all{{"format", "pt"}, {kAdapterMetadata, adapter_metadata(rank, alpha, target_modules, path)}};
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

TensorMap padded_lora(const TensorMap& tensors, int64_t rank) {
  TensorMap padded;
  for (const auto& [name, tensor] : tensors) {
    const bool down = name.ends_with(kDown);
    const int64_t missing = rank - tensor.size(down ? 0 : 1);
    TORCH_CHECK(missing >= 0, name, " has more than rank ", rank);
    auto sizes = tensor.sizes().vec();
    sizes[down ? 0 : 1] = missing;
    padded[name] =
        missing == 0 ? tensor : at::cat({tensor, at::zeros(sizes, tensor.options())}, down ? 0 : 1);
  }
  return padded;
}

int64_t LoraFile::largest_rank() const {
  int64_t rank = 0;
  for (const auto& [name, tensor] : tensors)
    if (name.ends_with(kDown)) rank = std::max(rank, tensor.size(0));
  return rank;
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
