// The child process: one clause after the other, each told to the parent as a line of JSON before and after.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "plugins/validator/clauses.h"

namespace thalweg::validator {

struct ChildTask {
  const std::filesystem::path& file;
  const Options& options;
  const std::vector<Clause>& clauses;
  std::vector<ClauseResult> results;  // so far; the clauses before `first` are done
  size_t first = 0;
};

/// Lines to `out`: {"begin": i}, perhaps {"trying": text}, then {"end": i, "outcome", "detail", "observed":
/// [[clause, text]]}, with "rewards" after factory.rewards. Standard output goes to the file in memory
/// `output`.
[[noreturn]] void try_clauses(ChildTask task, int out, int output);

/// The start of what was written to a file in memory, in quotes, or ""; empties the file.
std::string taken_output(int output);

}  // namespace thalweg::validator
