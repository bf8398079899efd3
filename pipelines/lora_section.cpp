// The LoRA of a job's model: its section, and the file that it names.
#include <cmath>

#include "engine/core/error.h"
#include "engine/models/schedulers/few_step_scheduler.h"
#include "engine/weights/lora_sum.h"
#include "pipelines/sections.h"

namespace thalweg {
namespace {

constexpr const char* kRankPattern = "/model/lora/rank_pattern";
constexpr const char* kAlphaPattern = "/model/lora/alpha_pattern";

std::string pointer_of(size_t added) {
  return "/model/loras/" + std::to_string(added);
}

// `pointer`: of the object that names the file.
LoraFile read_at(const LoraSection& section, const FlowModel& model, const std::string& pointer) {
  require_lora_layers(model.lora_names());
  auto lora = read_lora(section.path, model.lora_names());
  if (!lora.text_encoder.empty() && section.text_encoders != "ignore")
    throw Error(
        pointer + "/path",
        section.path + " also adapts text encoders (" + lora.text_encoder.front() + " and others, " +
            std::to_string(lora.text_encoder.size()) +
            " tensors), which is not supported: without that part it draws other pictures than its author "
            "saw. Set " +
            pointer + "/text_encoders to \"ignore\" to leave it out");
  return lora;
}

void tell(const Observer& observer, const LoraSection& section, const LoraFile& lora) {
  if (const auto note = lora_note(section, lora); !note.empty()) observer.message(note);
}

}  // namespace

LoraStrength LoraSection::strength(const std::vector<std::string>& layers) const {
  LoraStrength strength{rank, alpha};
  for (const auto& [layer, value] : values_by_layer(rank_pattern, layers, kRankPattern))
    strength.ranks[layer] = static_cast<int64_t>(value);
  strength.alphas = values_by_layer(alpha_pattern, layers, kAlphaPattern);
  return strength;
}

// What can be said of them before the model's layers are known.
void require_lora_patterns(const LoraSection& lora) {
  for (const auto& [key, rank] : lora.rank_pattern) {
    const LoraPattern pattern(key, kRankPattern);
    if (rank != std::floor(rank))
      throw Error(kRankPattern + ("/" + pointer_token(key)), "must be a whole number");
  }
  for (const auto& [key, alpha] : lora.alpha_pattern) const LoraPattern pattern(key, kAlphaPattern);
  if (!lora.alpha_pattern.empty() && !lora.path.empty())
    throw Error(kAlphaPattern,
                "has no meaning with /model/lora/path: the file says how strongly each of its layers counts");
}

void require_lora_layers(const LoraNames& names) {
  if (names.layers.empty())
    throw Error(
        "/model/lora",
        "this model has no layer that a LoRA could adapt; leave the key out: without it all parameters "
        "are trained");
}

LoraFile read_model_lora(const LoraSection& section, const FlowModel& model) {
  return read_at(section, model, "/model/lora");
}

std::optional<LoraFile> read_loras(const ModelSection& section, const FlowModel& model,
                                   const Observer& observer) {
  if (section.has_lora) {
    auto lora = read_model_lora(section.lora, model);
    tell(observer, section.lora, lora);
    return lora;
  }
  if (section.loras.empty()) return std::nullopt;
  std::vector<WeightedLora> parts;
  for (size_t i = 0; i < section.loras.size(); ++i) {
    const auto& [lora, weight] = section.loras[i];
    try {
      parts.push_back({read_at(lora, model, pointer_of(i)), weight});
    } catch (const IoError&) {
      throw;
    } catch (const Error& e) {
      if (e.place().starts_with("/model/")) throw;
      throw Error(pointer_of(i) + "/path", e.what());
    }
    tell(observer, lora, parts.back().lora);
  }
  return sum_of(parts);
}

std::string lora_note(const LoraSection& section, const LoraFile& lora) {
  std::string note = lora.note();
  if (!lora.text_encoder.empty())
    note += (note.empty() ? "" : "; ") + std::to_string(lora.text_encoder.size()) +
            " tensors for text encoders are left out";
  return note.empty() ? "" : "LoRA " + section.path + ": " + note;
}

void require_lora_file(const ModelSection& model) {
  if (model.has_lora && !model.loras.empty())
    throw Error("/model/loras",
                "has no meaning beside /model/lora: make that one of the list, or leave one out");
  for (const auto& [pointer, path] : lora_paths(model)) {
    if (path.empty()) throw Error(pointer, "is missing: the LoRA file to use");
    require_file(path, pointer);
  }
  if (!model.lora.rank_pattern.empty())
    throw Error(kRankPattern, "is for training; here the file says which rank each of its layers has");
}

std::vector<std::pair<std::string, std::string>> lora_paths(const ModelSection& model) {
  std::vector<std::pair<std::string, std::string>> paths;
  if (model.has_lora) paths.emplace_back("/model/lora/path", model.lora.path);
  for (size_t i = 0; i < model.loras.size(); ++i)
    paths.emplace_back(pointer_of(i) + "/path", model.loras[i].lora.path);
  return paths;
}

std::filesystem::path lora_scheduler(const ModelSection& model) {
  std::filesystem::path found;
  Json said;
  for (const auto& [pointer, path] : lora_paths(model)) {
    if (path.empty()) continue;
    std::error_code ec;
    const std::filesystem::path lora(path);
    const auto file =
        (std::filesystem::is_directory(lora, ec) ? lora : lora.parent_path()) / kSchedulerConfig;
    const auto generator = read_few_step_scheduler(file);
    if (!generator) continue;
    auto levels = Json(flow_match_schedule(*generator, generator->few_steps, 1, file).sigmas);
    if (!found.empty() && levels != said)
      throw Error("/model/loras", "are of generators of different steps, as " + found.string() + " and " +
                                      file.string() + " say; leave one out");
    found = file;
    said = std::move(levels);
  }
  return found;
}

}  // namespace thalweg
