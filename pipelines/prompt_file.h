// Files of prompts, line by line (docs/prompts.md).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/core/json.h"

namespace thalweg {

struct PromptLine {
  std::string place;  // "FILE line N", for messages
  std::string prompt;
  std::string metadata_json;  // the line of a .jsonl file as it is; "{}" of a text file
};

/// A file of prompts as a job names it.
struct PromptFile {
  std::string path;
  std::string pointer;    // of the key that names it
  bool stripped = false;  // blanks at both ends of a text line are no part of its prompt
};

/// The file of `split` ("train", "test") in a folder as Flow-GRPO lays them out: SPLIT.txt, whose lines its
/// reader strips, or SPLIT_metadata.jsonl. Throws Error at `pointer` for a folder with neither or both.
PromptFile file_of_split(const std::string& folder, const std::string& split, const std::string& pointer);

/// Of a .txt file (one prompt a line) or .jsonl file (an object with a text "prompt" a line), by its ending
/// in any case; blank lines are passed over. Throws Error at its pointer for another ending, a folder or a
/// file without prompts, and in the file with the line's number. At most `limit` prompts (0: all).
std::vector<PromptLine> read_prompt_lines(const PromptFile& file, int64_t limit = 0);

/// The file that a line names under `key`; empty: none. Throws Error at the line for what is no name.
std::string file_of(const PromptLine& line, const char* key);

/// Throws Error at `pointer` unless it is .jsonl.
void require_json_lines(const std::string& path, const std::string& pointer);

}  // namespace thalweg
