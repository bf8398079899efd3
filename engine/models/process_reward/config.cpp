#include "engine/models/process_reward/config.h"

#include "engine/core/error.h"
#include "engine/weights/config.h"

namespace thalweg {
namespace {

constexpr int64_t kVersion = 1;

const Json& section(const Json& config, const char* key, const std::filesystem::path& path) {
  const auto found = config.find(key);
  if (found == config.end() || !found->is_object())
    throw Error(path.string(), std::string(key) + " must be an object");
  return *found;
}

ProcessRewardConfig::Backbone parse_backbone(const Json& j, const std::filesystem::path& path) {
  ProcessRewardConfig::Backbone b;
  b.path = config_text(j, "path", "", path);
  if (b.path.empty()) throw Error(path.string(), "backbone names no path of a model's folder");
  b.variant = config_text(j, "variant", b.variant, path);
  b.dtype = config_text(j, "dtype", b.dtype, path);
  if (b.dtype != "float32" && b.dtype != "bfloat16")
    throw Error(path.string(), "backbone's dtype must be float32 or bfloat16");
  b.sha256 = config_text(j, "sha256", b.sha256, path);
  b.depth = config_integer(j, "depth", b.depth, 1, 1000, path);
  b.rank = config_integer(j, "rank", b.rank, 0, 4096, path);
  b.alpha = config_number(j, "alpha", b.alpha, 0.0, 1e6, path);
  b.max_sequence_length = config_integer(j, "max_sequence_length", b.max_sequence_length, 0, 512, path);
  return b;
}

ProcessRewardConfig::Own parse_own(const Json& j, const std::filesystem::path& path) {
  ProcessRewardConfig::Own o;
  o.width = config_integer(j, "width", o.width, 8, 4096, path);
  o.blocks = config_integer(j, "blocks", o.blocks, 0, 64, path);
  o.layers = config_integer(j, "layers", o.layers, 0, 64, path);
  o.words = config_integer(j, "words", o.words, 1, 1024, path);
  o.vocabulary = config_integer(j, "vocabulary", o.vocabulary, 2, 1 << 20, path);
  if (o.width % 8 != 0) throw Error(path.string(), "own: width must be a multiple of 8");
  return o;
}

ProcessRewardConfig::Head parse_head(const Json& j, const std::filesystem::path& path) {
  ProcessRewardConfig::Head h;
  h.width = config_integer(j, "width", h.width, 8, 8192, path);
  h.heads = config_integer(j, "heads", h.heads, 1, 128, path);
  h.queries = config_integer(j, "queries", h.queries, 1, 1024, path);
  h.pool = config_text(j, "pool", h.pool, path);
  if (h.pool != "attention" && h.pool != "mean")
    throw Error(path.string(), "head: pool must be attention or mean");
  if (h.width % h.heads != 0) throw Error(path.string(), "head: width must be a multiple of heads");
  return h;
}

}  // namespace

ProcessRewardConfig parse_process_reward(const Json& j, const std::filesystem::path& path) {
  if (!j.is_object() || j.value("_class_name", Json()) != kProcessRewardClass)
    throw Error(path.string(), std::string("is not the config of a ") + kProcessRewardClass +
                                   ": name a folder that a train_reward job wrote");
  if (config_integer(j, "version", 0, 0, 1 << 30, path) != kVersion)
    throw Error(path.string(), "was written by another version of this program");
  ProcessRewardConfig c;
  c.network = config_text(j, "network", "", path);
  if (c.network == "backbone")
    c.backbone = parse_backbone(section(j, "backbone", path), path);
  else if (c.network == "own")
    c.own = parse_own(section(j, "own", path), path);
  else
    throw Error(path.string(), "network must be backbone or own");
  c.channels = config_integer(j, "latent_channels", 0, 1, 4096, path);
  c.frames = config_integer(j, "latent_frames", 1, 1, 4096, path);
  c.head = parse_head(section(j, "head", path), path);
  c.scale = config_number(j, "scale", c.scale, -1e12, 1e12, path);
  c.offset = config_number(j, "offset", c.offset, -1e12, 1e12, path);
  if (j.contains("trained")) c.trained = j.at("trained");
  return c;
}

Json to_json(const ProcessRewardConfig& c) {
  Json j = {{"_class_name", kProcessRewardClass}, {"version", kVersion}, {"network", c.network}};
  if (c.network == "backbone") {
    const auto& b = c.backbone;
    j["backbone"] = {{"path", b.path},   {"variant", b.variant},
                     {"dtype", b.dtype}, {"sha256", b.sha256},
                     {"depth", b.depth}, {"rank", b.rank},
                     {"alpha", b.alpha}, {"max_sequence_length", b.max_sequence_length}};
  } else {
    const auto& o = c.own;
    j["own"] = {{"width", o.width},
                {"blocks", o.blocks},
                {"layers", o.layers},
                {"words", o.words},
                {"vocabulary", o.vocabulary}};
  }
  j["head"] = {
      {"width", c.head.width}, {"heads", c.head.heads}, {"queries", c.head.queries}, {"pool", c.head.pool}};
  j["latent_channels"] = c.channels;
  j["latent_frames"] = c.frames;
  j["scale"] = c.scale;
  j["offset"] = c.offset;
  j["trained"] = c.trained;
  return j;
}

}  // namespace thalweg
