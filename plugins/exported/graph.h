// graph.json as read: operators by name, and where the values go. Nothing of LibTorch is looked up yet.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/core/json.h"

namespace exported {

inline constexpr size_t kMaxNodes = 50000;
inline constexpr size_t kMaxGraphBytes = size_t{32} << 20;
inline constexpr size_t kMaxWeights = 50000;
inline constexpr int64_t kMaxRank = 16;

/// A tensor of weights.safetensors and the value that it is.
struct Weight {
  std::string value, tensor, dtype;
  std::vector<int64_t> shape;
};

/// One call. Slots number the values: inputs, weights, then what the nodes give, in order.
struct Node {
  std::string domain;        // "aten", or "sym" for the arithmetic of sizes
  std::string name;          // "conv2d"
  std::string overload;      // "" where there is but one
  thalweg::Json arguments;   // by the operator's names; those left out have its defaults
  int first_slot = 0;        // of its outputs: a node sees the slots below
  std::vector<int> outputs;  // slot of each output; -1: nobody reads it

  std::string text() const { return domain + "::" + name + (overload.empty() ? "" : "." + overload); }
};

struct Graph {
  std::vector<std::string> inputs;
  std::vector<Weight> weights;
  std::vector<Node> nodes;
  int output = -1;
  std::vector<std::string> values;  // name of each slot
  std::unordered_map<std::string, int> slots;

  /// The slot of a value that is defined below `limit`. Throws thalweg::Error at `place` for an unknown name
  /// and for one that is defined later: nodes stand in the order of execution, so there are no circles.
  int slot_of(const std::string& value, int limit, const std::string& place) const;
};

/// Reads graph.json. Throws thalweg::Error with the file and the JSON pointer in it for a structure that is
/// not of the format, too many nodes or weights, and a value that is defined twice or not before its use as
/// the output.
Graph read_graph(const std::filesystem::path& path);

}  // namespace exported
