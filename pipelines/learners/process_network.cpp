#include "pipelines/learners/process_network.h"

#include "engine/core/error.h"
#include "engine/weights/folder.h"

namespace thalweg {
namespace {

constexpr const char* kPlace = "/learner/network";

// Errors of the parts name files; the job's key comes first.
template <typename Work>
auto placed(const std::string& place, const Work& work) {
  try {
    return work();
  } catch (const Error& e) {
    throw Error(place, e.what());
  }
}

}  // namespace

void ProcessNetwork::describe(Fields& f) {
  auto& c = config_;
  const auto backbone = [&](Fields& b) {
    b.integer({"depth", "blocks of the model that are run"}, c.backbone.depth, 1, 1000);
    b.integer({"rank", "of a LoRA on these blocks; 0: they are frozen"}, c.backbone.rank, 0, 4096);
    b.number({"alpha", "of that LoRA"}, c.backbone.alpha, 0.0, 1e6);
  };
  const auto own = [&](Fields& o) {
    o.integer({"width", "channels; a multiple of 8"}, c.own.width, 8, 4096);
    o.integer({"blocks", "of two convolutions, each of which halves sides above 8"}, c.own.blocks, 0, 64);
    o.integer({"layers", "in which pixels and words attend to each other"}, c.own.layers, 0, 64);
    o.integer({"words", "of a prompt that are read"}, c.own.words, 1, 1024);
    o.integer({"vocabulary", "embeddings, which words share by a hash"}, c.own.vocabulary, 2, 1 << 20);
  };
  f.variant({"name", "network"}, c.network,
            {{"backbone", "the first blocks of the model itself, StableDiffusion3Pipeline alone", backbone},
             {"own", "a small network of its own, for any model of single pictures", own}});
  f.object({"head", "from tokens to the reward"}, [&](Fields& h) {
    h.integer({"width", "of its layers; a multiple of heads"}, c.head.width, 8, 8192);
    h.integer({"heads", "of the pooling attention"}, c.head.heads, 1, 128);
    h.integer({"queries", "learned ones that pool the tokens"}, c.head.queries, 1, 1024);
    h.choice({"pool", "by learned queries, or the mean of all tokens"}, c.head.pool, {"attention", "mean"});
  });
}

ProcessRewardConfig ProcessNetwork::of(const ModelSection& model) const {
  auto config = config_;
  config.backbone.path = model.path;
  config.backbone.variant = model.variant;
  config.backbone.dtype = model.dtype;
  config.backbone.max_sequence_length = model.max_sequence_length;
  return config;
}

void ProcessNetwork::check(const TrainRewardOptions& options) const {
  if (config_.head.width % config_.head.heads != 0)
    throw Error(std::string(kPlace) + "/head/width",
                "must be a multiple of heads, " + std::to_string(config_.head.heads));
  if (config_.network == "own") {
    if (config_.own.width % 8 != 0) throw Error(std::string(kPlace) + "/width", "must be a multiple of 8");
    return;
  }
  placed(std::string(kPlace) + "/depth",
         [&] { require_backbone(options.model.path, of(options.model).backbone); });
}

ProcessReward ProcessNetwork::made(const RewardTraining& t) const {
  auto config = of(t.options.model);
  config.channels = t.shape.channels;
  config.frames = t.shape.frames;
  return placed(kPlace, [&] {
    ProcessReward reward(config, config.backbone.path, t.device());
    reward.features().require(t.shape.channels, t.shape.frames, t.shape.height, t.shape.width);
    return reward;
  });
}

void ProcessNetwork::save(const std::filesystem::path& folder, ProcessRewardConfig config,
                          const TensorMap& parameters) const {
  if (config.network == "backbone")
    config.backbone.sha256 = backbone_sha256(config.backbone.path, config.backbone);
  save_process_reward(folder, std::move(config), parameters);
}

}  // namespace thalweg
