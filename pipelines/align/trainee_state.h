// What a checkpoint of an `align` run says for `thalweg export`, which activates no reward and does not read
// the LoRA that training started from.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "pipelines/stages/policy.h"
#include "pipelines/training/state.h"

namespace thalweg {

struct TraineeNotes {
  std::string rewards;      // trained_rewards()
  double lora_alpha = 1.0;  // of the adapter; 1 without one
  std::string lora_alphas;  // of layers that have others, as a JSON object
  std::string generator;    // exported_levels() as a JSON list, empty: none

  void state(RunState& state) {
    state.text("trained_rewards", rewards);
    state.number("lora_alpha", lora_alpha);
    state.text("lora_alphas", lora_alphas);
    state.text("generator_levels", generator);
  }
};

inline TraineeNotes notes_of(std::string rewards, const PolicySpace& space,
                             const std::optional<Schedule>& generator) {
  TraineeNotes notes{std::move(rewards), 1.0, "{}", generator ? Json(generator->sigmas).dump() : "[]"};
  if (!space.is_lora()) return notes;
  Json alphas = Json::object();
  for (const auto& [layer, alpha] : space.strength().alphas) alphas[layer] = alpha;
  notes.lora_alpha = space.strength().alpha;
  notes.lora_alphas = alphas.dump();
  return notes;
}

inline std::optional<Schedule> generator_of(const TraineeNotes& notes, const std::string& place) {
  const auto sigmas = parse_json(notes.generator, place).get<std::vector<double>>();
  return sigmas.empty() ? std::nullopt : std::optional(Schedule{sigmas});
}

/// The alphas by layer as patterns that fit those layers alone.
inline LoraPatterns alpha_pattern_of(const TraineeNotes& notes, const std::string& place) {
  LoraPatterns patterns;
  const auto alphas = parse_json(notes.lora_alphas, place);
  for (const auto& [layer, alpha] : alphas.items()) patterns.emplace_back("^" + layer, alpha.get<double>());
  return patterns;
}

}  // namespace thalweg
