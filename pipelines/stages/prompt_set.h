// Prompts with their conditioning, encoded once for a whole run.
#pragma once

#include "engine/models/flow_model.h"
#include "pipelines/sections.h"

namespace thalweg {

struct PromptSet {
  PromptList list;
  Conditioning conditioning;

  int64_t size() const { return static_cast<int64_t>(list.prompts.size()); }
};

PromptSet encode_prompts(const FlowModel& model, PromptList list);

/// Prompt indices of iteration `iteration`: `count` in a row of an endless sequence of shuffled passes over
/// all `size` prompts. A pure function of its arguments.
std::vector<int64_t> draw_prompts(int64_t size, int64_t count, int64_t iteration, uint64_t seed);

}  // namespace thalweg
