// Does a reward plugin keep the contract of thalweg/*.h? Every clause is tried in a process of its own kind,
// so that a plugin that crashes, hangs or ends the process is named and not suffered.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace thalweg::validator {

/// What the plugin is tried with.
struct Options {
  std::string config = "{}";          // a JSON object that the plugin accepts
  std::string id;                     // only this reward of the library; "": all
  std::vector<std::string> prompts;   // taken in turn; at least one
  std::vector<std::string> metadata;  // one a prompt, a JSON object each
  int64_t batch = 4, frames = 1, height = 64, width = 64;
  int64_t latent_channels = 4, latent_height = 8, latent_width = 8;
  double timeout_s = 60.0;           // of one clause
  double value_tolerance = 1e-5;     // between a sample alone and in a batch; relative above 1
  double gradient_tolerance = 0.02;  // of finite differences, relative
};

enum class Outcome { ok, failed, skipped };

struct ClauseResult {
  std::string reward;  // id; "" for what is asked of the library
  std::string clause;  // "score.determinism"
  std::string header;  // that says it: "reward.h"
  std::string rule;    // in one sentence
  Outcome outcome = Outcome::skipped;
  std::string detail;  // what was seen, or why it was skipped
};

/// Tries every clause on the library `file`; never throws for a bad one, and loads it in no process of ours.
/// To be called while this process has one thread. Throws Error when the system gives no child process.
std::vector<ClauseResult> validate(const std::filesystem::path& file, const Options& options);

}  // namespace thalweg::validator
