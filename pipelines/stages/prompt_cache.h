// Encoded prompts kept on disk for later runs, of this and of other processes. An entry is one safetensors
// file: the conditioning of a whole list of prompts, so that what a hit gives are the very bits that encoding
// the list would give. Its name is a SHA-256 over format, program, LibTorch, processor, settings,
// all bytes of every file that encoding reads (a fingerprint() would miss a few changed rows of an
// embedding), and the prompts.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/models/flow_model.h"

namespace thalweg {

class PromptCache {
 public:
  /// `note` is told what a user may want to know: entries that are damaged or cannot be written.
  PromptCache(std::filesystem::path folder, uint64_t max_bytes, std::function<void(const std::string&)> note);

  /// Name of the entry for these prompts. Reads the model's text encoders the first time it sees them, and
  /// remembers their digests by size and time of change.
  std::string key(const TextSource& source, const std::vector<std::string>& prompts) const;

  /// The entry, if there is a whole one of `rows` rows as `source` says. One that is not is noted and
  /// removed.
  std::optional<TensorMap> read(const std::string& key, const TextSource& source, int64_t rows) const;

  /// Keeps an entry, and removes those that were not used for longest until all fit into `max_bytes`.
  /// Failures are noted, not thrown: a run can do without.
  void write(const std::string& key, const TensorMap& tensors) const;

 private:
  std::string digest_of(const std::filesystem::path& file) const;
  std::filesystem::path entry(const std::string& key) const { return folder_ / (key + ".safetensors"); }
  void prune(const std::filesystem::path& newest) const;

  std::filesystem::path folder_;
  uint64_t max_bytes_;
  std::function<void(const std::string&)> note_;
};

/// Where entries lie when the job names no folder: $XDG_CACHE_HOME/thalweg/prompts, or
/// ~/.cache/thalweg/prompts; empty when the environment has neither.
std::filesystem::path default_prompt_cache_folder();

}  // namespace thalweg
