// An options struct with a field of every kind, for the tests of reading and writing.
#pragma once

#include "engine/core/fields.h"

namespace thalweg {

struct ListedReward {
  std::string name = "color";
  double weight = 1.0;
};

struct AllKinds {
  double rate = 0.5;
  int64_t steps = 10;
  bool fast = false;
  std::string path;
  std::string kind = "ode";
  double noise = 0.7;  // of kind "sde"
  std::string dtype = "float32";
  std::vector<std::string> tags = {"a"};
  std::vector<std::pair<std::string, double>> weights;
  Json config;
  int64_t height = 64;  // in "size"
  bool has_ema = false;
  double ema_decay = 0.9;
  std::vector<ListedReward> rewards;
};

inline void describe(Fields& f, AllKinds& o) {
  f.text({"path", "Folder of the model.", true}, o.path);
  f.number({"rate", "Learning rate."}, o.rate, 0.0, 1.0);
  f.integer({"steps", "Steps."}, o.steps, 1, 100);
  f.boolean({"fast", "Whether."}, o.fast);
  f.choice({"dtype", "Precision."}, o.dtype, {"float32", "bfloat16"});
  f.texts({"tags", "Tags."}, o.tags);
  f.numbers({"weights", "Numbers by name."}, o.weights, -1.0, 2.0);
  f.foreign({"config", "A plugin's own."}, o.config);
  f.object({"size", "Size."}, [&](Fields& g) { g.integer({"height", "Pixels."}, o.height, 8, 512); });
  f.optional_object({"ema", "Average."}, o.has_ema, [&](Fields& g) {
    g.number({"decay", "Decay."}, o.ema_decay, 0.0, 1.0);
  });
  f.list({"rewards", "Rewards."}, o.rewards, [](Fields& g, ListedReward& r) {
    g.text({"name", "Which.", true}, r.name);
    g.number({"weight", "How much."}, r.weight, 0.0, 10.0);
  });
}

inline AllKinds read(const std::string& text, const std::string& pointer = "") {
  AllKinds o;
  read_fields(parse_json(text, "job"), pointer, [&](Fields& f) { describe(f, o); });
  return o;
}

inline void describe_sampler(Fields& f, AllKinds& o) {
  f.variant({"kind", "Sampler."}, o.kind,
            {{"ode", "Euler.", [](Fields&) {}}, {"sde", "With noise.", [&](Fields& g) {
                                                   g.number({"noise", "Level."}, o.noise, 0.0, 2.0);
                                                 }}});
  f.integer({"steps", "Steps.", true}, o.steps, 1, 100);
}

inline AllKinds read_sampler(const std::string& text) {
  AllKinds o;
  read_fields(parse_json(text, "job"), "/sampler", [&](Fields& f) { describe_sampler(f, o); });
  return o;
}

}  // namespace thalweg
