// Folders as export_reward.py writes them, made by hand, and spoilt.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "engine/core/json.h"
#include "engine/core/values.h"
#include "rewards/plugin_reward.h"

namespace thalweg::testing {

/// A folder in memory: change it, then write it. The sha256 of its files are made right on writing.
struct ExportedFolder {
  Json reward, graph;
  TensorMap weights;
  bool with_tokenizer = false;

  void write(const std::filesystem::path& folder) const;
};

/// conv2d, group_norm, silu, mean over H and W, linear: pictures of any size from 8 to 128 to columns "a",
/// "b".
ExportedFolder small_cnn();

/// The graph that export_reward.py made of a CLIP-like scorer (fixtures/exported_clip_graph.json), with
/// seeded weights and the small CLIP tokenizer.
ExportedFolder small_clip();

/// A node of graph.json.
Json node(const std::string& op, const Json& arguments, const std::string& output);
/// A value as an argument.
Json value(const std::string& name);

/// The plugin on a folder, as the reward of /rewards/1; `more` is its other configuration.
std::unique_ptr<PluginReward> opened(const std::filesystem::path& folder, const Json& more = Json::object());
/// The same, written first.
std::unique_ptr<PluginReward> opened(const ExportedFolder& made, const Json& more = Json::object());

/// With the prompts "red cat" and "cat" in turn.
ScoreInput input_of(const at::Tensor& frames_BF3HW);

void expect_says(const std::string& said, const std::string& word);

}  // namespace thalweg::testing
