#include "pipelines/training/prompt_files.h"

#include "engine/core/error.h"

namespace thalweg {

PromptFile PromptFiles::file(const std::string& path, const char* key, const char* split) const {
  if (!path.empty()) return {path, std::string("/prompts/") + key};
  if (!folder.empty()) return file_of_split(folder, split, kFolder);
  throw Error(std::string("/prompts/") + key,
              "is missing: a file of prompts. In its place /prompts/folder takes a folder with train.txt and "
              "test.txt, or train_metadata.jsonl and test_metadata.jsonl");
}

void describe(Fields& f, PromptFiles& p) {
  f.text(
      {"folder",
       "Flow-GRPO's: train.txt and test.txt, or train_metadata.jsonl and test_metadata.jsonl. Its train "
       "prompts are taken for `train`, its test prompts for `select` and `eval`, where those are not given"},
      p.folder);
  f.text({"train", "prompts of the rollouts, or of the pictures that the method trains on"}, p.train);
  f.text({"select", "held-out prompts that choose the checkpoint"}, p.select);
  f.text({"eval", "held-out prompts that are reported, before and after; none of the above"}, p.eval);
}

}  // namespace thalweg
