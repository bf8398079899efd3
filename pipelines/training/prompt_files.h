// The files of prompts of a training run: of the rollouts, and two that are held out.
#pragma once

#include <string>

#include "engine/core/fields.h"
#include "pipelines/prompt_file.h"

namespace thalweg {

/// Files of prompts; a folder as Flow-GRPO lays them out stands for those that are not named.
struct PromptFiles {
  static constexpr const char* kFolder = "/prompts/folder";
  std::string folder, train, select, eval;

  /// Of the rollouts; held out to choose the checkpoint; held out to be reported. They throw Error for one
  /// that is not there.
  PromptFile to_train() const { return file(train, "train", "train"); }
  PromptFile to_select() const { return file(select, "select", "test"); }
  PromptFile to_eval() const { return file(eval, "eval", "test"); }

 private:
  PromptFile file(const std::string& path, const char* key, const char* split) const;
};
void describe(Fields& fields, PromptFiles& prompts);

}  // namespace thalweg
