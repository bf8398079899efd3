// Prompts with their conditioning, encoded once for a whole run.
#pragma once

#include <optional>

#include "engine/models/flow_model.h"
#include "engine/parallel/workers.h"
#include "pipelines/observer.h"
#include "pipelines/sections.h"
#include "pipelines/stages/prompt_cache.h"

namespace thalweg {

/// On the CPU whatever the model's device: a micro-batch takes its rows there, and many prompts fill a GPU.
struct PromptSet {
  PromptList list;
  Conditioning conditioning;

  int64_t size() const { return static_cast<int64_t>(list.prompts.size()); }
};

/// The prompts of one run: encoded, or taken from what earlier runs kept on disk (then the text encoders are
/// not even read). The workers encode them in parts of a fixed size, so that the bits do not depend on how
/// many there are. Whoever drops it frees the text encoders.
class PromptEncoder {
 public:
  PromptEncoder(FlowModel& model, const PromptCacheSection& cache, Workers& workers,
                const Observer& observer);
  ~PromptEncoder();
  PromptEncoder(const PromptEncoder&) = delete;
  PromptEncoder& operator=(const PromptEncoder&) = delete;

  /// Tells the observer of prompts that are cut, as those of `place` (a file, a JSON pointer).
  PromptSet encode(PromptList list, const std::string& place = "/prompts") const;
  Conditioning conditioning(const std::vector<std::string>& prompts) const;
  /// One line: the first prompt that a text encoder does not read to its end, and how many others there are.
  void tell_cut(const std::vector<std::string>& prompts, const std::string& place) const;

 private:
  Conditioning fresh(const std::vector<std::string>& prompts) const;

  FlowModel& model_;
  Workers& workers_;
  const Observer& observer_;
  TextSource source_;
  std::optional<PromptCache> cache_;
};

/// Prompt indices of iteration `iteration`: `count` in a row of an endless sequence of shuffled passes over
/// all `size` prompts. A pure function of its arguments.
std::vector<int64_t> draw_prompts(int64_t size, int64_t count, int64_t iteration, uint64_t seed);

}  // namespace thalweg
