// reward.json: what an exported folder says of its network. README.md has the format.
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <string>
#include <vector>

namespace exported {

/// Sizes that a dimension of the network's input may have.
struct Extent {
  int64_t min = 1, max = 1, multiple = 1;

  bool holds(int64_t size) const { return size >= min && size <= max && size % multiple == 0; }
  std::string text() const;
};

/// A column of the scores and the range that its numbers should keep.
struct Dimension {
  std::string name;
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
};

/// An argument of the network, and what is put there.
struct Input {
  std::string name;
  std::string kind;  // "pictures" [N,3,H,W], "videos" [N,F,3,H,W], "tokens" [N,L] or "token_mask" [N,L]
};

struct TokenizerSpec {
  std::string kind;        // "clip" or "t5"
  int64_t length = 0;      // L: tokens of a prompt, padding included
  int64_t vocabulary = 0;  // ids that the network takes are below this
  int64_t eos = 0, pad = 0;
};

struct Description {
  std::string name, licence, source;
  std::vector<Dimension> dimensions;  // K
  std::vector<Input> inputs;          // in the order in which the graph takes them; the first is the frames
  int64_t max_batch = 1;              // N
  Extent height, width, frames;       // of what the reward is given; before preprocessing
  std::string preprocess;             // "graph": the network's own; "exact", "smooth": that of processor/
  std::string dtype;                  // of the network: "float32", "float16", "bfloat16"
  bool differentiable = false;
  bool has_tokenizer = false;
  TokenizerSpec tokenizer;
  std::string torch;                         // version that exported it
  std::map<std::string, std::string> files;  // name within the folder -> sha256

  bool takes_videos() const { return inputs.front().kind == "videos"; }
};

/// Reads folder/reward.json and compares the sha256 of every file that it names. Throws thalweg::Error with
/// the file, and the JSON pointer in it, for what is missing, unknown or does not fit together.
Description read_description(const std::filesystem::path& folder);

}  // namespace exported
