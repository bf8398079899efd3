#include "pipelines/cli/lora_command.h"

#include <ATen/ATen.h>

#include <cmath>
#include <map>
#include <set>

#include "engine/core/error.h"
#include "engine/weights/lora_config.h"
#include "engine/weights/lora_file.h"
#include "engine/weights/safetensors_header.h"
#include "pipelines/align/lora_metadata.h"
#include "pipelines/cli/output.h"
#include "pipelines/models.h"

namespace thalweg::cli {
namespace {

std::string number(double value) {
  return value == std::floor(value) && std::abs(value) < 1e15 ? std::to_string(static_cast<int64_t>(value))
                                                              : Json(value).dump();
}

/// Of a file: cut, without controls.
std::string plain(const std::string& text) {
  const auto shown = shown_name(text);
  return shown.substr(1, shown.size() - 2);
}

/// "4", or "4 to 16".
template <typename T>
std::string range(const std::set<T>& values) {
  const auto first = number(static_cast<double>(*values.begin())),
             last = number(static_cast<double>(*values.rbegin()));
  return first == last ? first : first + " to " + last;
}

void line(const std::string& label, const std::string& text) {
  print("  " + label + std::string(label.size() < 14 ? 14 - label.size() : 1, ' ') + text + "\n");
}

void print_content(const LoraContent& content) {
  print(content.file.string() + "\n");
  std::map<std::string, int64_t> layouts;
  std::set<int64_t> ranks;
  std::set<double> alphas, scales;
  for (const auto& pair : content.pairs) {
    ++layouts[pair.layout];
    ranks.insert(pair.rank());
    scales.insert(pair.scale);
    alphas.insert(pair.scale * static_cast<double>(pair.rank()));
  }
  for (const auto& [layout, count] : layouts)
    line("layout", layout + ", " + std::to_string(count) + " modules");
  if (!content.pairs.empty()) {
    line("rank", range(ranks));
    line("scale", range(scales) + " (alpha " + range(alphas) + ")");
    line("modules", std::to_string(content.pairs.size()) + ", " + shown_name(content.pairs.front().module) +
                        " for example");
  }
  if (!content.text_encoder.empty())
    line("text encoders", std::to_string(content.text_encoder.size()) + " tensors, " +
                              shown_name(content.text_encoder.front()) + " for example");
  if (!content.unknown.empty())
    line("other", std::to_string(content.unknown.size()) + " tensors, " +
                      shown_name(content.unknown.front()) + " for example");
  for (const auto& [key, value] : content.metadata)
    if (key != "format" && key != kAdapterMetadata) line("metadata", plain(key) + " = " + plain(value));
}

void convert(const LoraFile& lora, const std::string& to) {
  const auto strength = lora.strength();
  std::vector<std::string> layers;
  for (const auto& [name, tensor] : lora.tensors)
    if (name.ends_with(".lora_A.weight")) layers.push_back(name.substr(0, name.rfind(".lora_A")));
  Metadata metadata;
  for (const auto& [key, value] : lora.metadata)
    if (key.starts_with("modelspec.")) metadata[key] = value;
  metadata["modelspec.hash_sha256"] = modelspec_hash(lora.tensors);
  metadata["ss_network_dim"] = std::to_string(strength.rank);
  metadata["ss_network_alpha"] = number(strength.alpha);
  write_lora(to, lora.tensors, strength, layers, metadata);
}

}  // namespace

void show_lora(const LoraArguments& arguments) {
  if (!arguments.to.empty() && arguments.model.empty())
    throw Error("--to", "needs --model: which layers the names mean depends on the model");
  print_content(read_lora_content(arguments.path));
  if (arguments.model.empty()) return;
  const auto lora = read_lora(arguments.path, model_lora_names(arguments.model));
  const auto note = lora.note();
  line("model", note.empty() ? "all " + std::to_string(lora.matched) + " modules match" : note);
  if (arguments.to.empty()) return;
  convert(lora, arguments.to);
  line("written", arguments.to);
}

}  // namespace thalweg::cli
