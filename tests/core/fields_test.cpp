#include "engine/core/fields.h"

#include <gtest/gtest.h>

#include "engine/core/error.h"
#include "tests/io/scratch.h"

namespace thalweg {
namespace {

struct Reward {
  std::string name = "color";
  double weight = 1.0;
};

struct Options {
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
  std::vector<Reward> rewards;
};

void describe(Fields& f, Options& o) {
  f.text({"path", "Folder of the model.", true}, o.path);
  f.number({"rate", "Learning rate."}, o.rate, 0.0, 1.0);
  f.integer({"steps", "Steps."}, o.steps, 1, 100);
  f.boolean({"fast", "Whether."}, o.fast);
  f.choice({"dtype", "Precision."}, o.dtype, {"float32", "bfloat16"});
  f.texts({"tags", "Tags."}, o.tags);
  f.numbers({"weights", "Numbers by name."}, o.weights, -1.0, 2.0);
  f.foreign({"config", "A plugin's own."}, o.config);
  f.object({"size", "Size."}, [&](Fields& g) { g.integer({"height", "Pixels."}, o.height, 8, 512); });
  f.optional_object({"ema", "Average."}, o.has_ema, [&](Fields& g) { g.number({"decay", "Decay."}, o.ema_decay, 0.0, 1.0); });
  f.list({"rewards", "Rewards."}, o.rewards, [](Fields& g, Reward& r) {
    g.text({"name", "Which.", true}, r.name);
    g.number({"weight", "How much."}, r.weight, 0.0, 10.0);
  });
}

Options read(const std::string& text, const std::string& pointer = "") {
  Options o;
  read_fields(parse_json(text, "job"), pointer, [&](Fields& f) { describe(f, o); });
  return o;
}

void describe_sampler(Fields& f, Options& o) {
  f.variant({"kind", "Sampler."}, o.kind,
            {{"ode", "Euler.", [](Fields&) {}},
             {"sde", "With noise.", [&](Fields& g) { g.number({"noise", "Level."}, o.noise, 0.0, 2.0); }}});
  f.integer({"steps", "Steps.", true}, o.steps, 1, 100);
}

Options read_sampler(const std::string& text) {
  Options o;
  read_fields(parse_json(text, "job"), "/sampler", [&](Fields& f) { describe_sampler(f, o); });
  return o;
}

TEST(ReadFields, LeavesDefaults) {
  const auto o = read(R"({"path":"m"})");
  EXPECT_EQ(o.path, "m");
  EXPECT_EQ(o.rate, 0.5);
  EXPECT_EQ(o.steps, 10);
  EXPECT_EQ(o.tags, (std::vector<std::string>{"a"}));
  EXPECT_FALSE(o.has_ema);
  EXPECT_TRUE(o.rewards.empty());
}

TEST(ReadFields, ReadsEverything) {
  const auto o = read(R"({"path":"m","rate":1,"steps":100,"fast":true,"dtype":"bfloat16","tags":["x","y"],
    "weights":{"b":2,"a":-1},"config":{"own":[1]},"size":{"height":8},"ema":{},
    "rewards":[{"name":"one"},{"weight":10,"name":"two"}]})");
  EXPECT_EQ(o.rate, 1.0);  // bounds are inclusive
  EXPECT_EQ(o.steps, 100);
  EXPECT_TRUE(o.fast);
  EXPECT_EQ(o.dtype, "bfloat16");
  EXPECT_EQ(o.tags, (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(o.weights, (std::vector<std::pair<std::string, double>>{{"b", 2.0}, {"a", -1.0}}));
  EXPECT_EQ(o.config.dump(), R"({"own":[1]})");
  EXPECT_EQ(o.height, 8);
  EXPECT_TRUE(o.has_ema);
  EXPECT_EQ(o.ema_decay, 0.9);
  ASSERT_EQ(o.rewards.size(), 2u);
  EXPECT_EQ(o.rewards[0].name, "one");
  EXPECT_EQ(o.rewards[0].weight, 1.0);
  EXPECT_EQ(o.rewards[1].weight, 10.0);
}

TEST(ReadFields, ChecksBounds) {
  EXPECT_ERROR(read(R"({"path":"m","rate":1.0000001})"), "/rate: must be from 0 to 1");
  EXPECT_ERROR(read(R"({"path":"m","rate":-1e-9})"), "/rate: must be from 0 to 1");
  EXPECT_ERROR(read(R"({"path":"m","steps":0})"), "/steps: must be from 1 to 100, not 0");
  EXPECT_ERROR(read(R"({"path":"m","steps":101})"), "/steps: must be from 1 to 100, not 101");
  EXPECT_ERROR(read(R"({"path":"m","steps":18446744073709551615})"), "/steps: must be from 1 to 100");
  EXPECT_ERROR(read(R"({"path":"m","steps":-9223372036854775808})"), "/steps: must be from 1 to 100");
  EXPECT_ERROR(read(R"({"path":"m","weights":{"a":2.5}})"), "/weights/a: must be from -1 to 2, not 2.5");
  EXPECT_ERROR(read(R"({"path":"m","rewards":[{"name":"a"},{"name":"b","weight":11}]})"), "/rewards/1/weight: must be");
}

TEST(ReadFields, ChecksTypes) {
  const std::pair<const char*, const char*> cases[] = {
      {R"("rate":"1")", "/rate: must be a number, not a value of type string"},
      {R"("rate":null)", "/rate: must be a number"},
      {R"("steps":3.0)", "/steps: must be an integer"},
      {R"("steps":true)", "/steps: must be an integer"},
      {R"("fast":1)", "/fast: must be true or false"},
      {R"("dtype":4)", "/dtype: must be a text"},
      {R"("tags":"a")", "/tags: must be a list of texts"},
      {R"("tags":["a",1])", "/tags/1: must be a text"},
      {R"("weights":[1])", "/weights: must be an object of numbers"},
      {R"("weights":{"a":"1"})", "/weights/a: must be a number"},
      {R"("config":[])", "/config: must be an object"},
      {R"("size":1)", "/size: must be an object"},
      {R"("ema":null)", "/ema: must be an object"},
      {R"("rewards":{})", "/rewards: must be a list"},
      {R"("rewards":[1])", "/rewards/0: must be an object"},
  };
  for (const auto& [field, message] : cases) EXPECT_ERROR(read(std::string(R"({"path":"m",)") + field + "}"), message);
  EXPECT_ERROR(read("[]"), "/: must be an object");
}

TEST(ReadFields, AsksForWhatIsRequired) {
  EXPECT_ERROR(read("{}"), "/path: is missing: Folder of the model.");
  EXPECT_ERROR(read(R"({"path":"m","rewards":[{"name":"a"},{}]})"), "/rewards/1/name: is missing: Which.");
}

TEST(ReadFields, RefusesUnknownKeysWithTheNearest) {
  EXPECT_ERROR(read(R"({"path":"m","stepz":3})"), "/stepz: unknown key (did you mean \"steps\"?)");
  EXPECT_ERROR(read(R"({"path":"m","size":{"heigth":64}})"), "/size/heigth: unknown key (did you mean \"height\"?)");
  EXPECT_ERROR(read(R"({"path":"m","size":{"colour_space":1}})"), "unknown key (known: height)");
  EXPECT_ERROR(read(R"({"path":"m","rewards":[{"name":"a","wieght":1}]})"), "/rewards/0/wieght: unknown key (did you mean \"weight\"?)");
}

TEST(ReadFields, PointersAreEscaped) {
  EXPECT_ERROR(read(R"({"path":"m","a/b~c":1})", "/method"), "/method/a~1b~0c: unknown key");
  EXPECT_ERROR(read(R"({"path":"m","weights":{"x/y":9}})"), "/weights/x~1y: must be");
  EXPECT_EQ(pointer_token("a/b~1"), "a~1b~01");
  try {
    read(R"({"path":"m","rate":7})", "/a~1b");
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& e) {
    EXPECT_EQ(e.place(), "/a~1b/rate");
  }
}

TEST(ReadFields, ForeignKeysAreNotLookedAt) {
  EXPECT_EQ(read(R"({"path":"m","config":{"ratee":{"deep":null}}})").config["ratee"].dump(), R"({"deep":null})");
}

TEST(ReadFields, VariantsReadTheFieldsOfTheirOwn) {
  const auto o = read_sampler(R"({"kind":"sde","noise":2,"steps":4})");
  EXPECT_EQ(o.kind, "sde");
  EXPECT_EQ(o.noise, 2.0);
  EXPECT_EQ(read_sampler(R"({"steps":4})").kind, "ode");
  EXPECT_ERROR(read_sampler(R"({"kind":"ode","noise":1,"steps":4})"), "/sampler/noise: unknown key");
  EXPECT_ERROR(read_sampler(R"({"noise":1,"steps":4})"), "/sampler/noise: unknown key");
  EXPECT_ERROR(read_sampler(R"({"kind":"sd","steps":4})"), "/sampler/kind: knows no \"sd\" (did you mean \"sde\"?)");
  EXPECT_ERROR(read_sampler(R"({"kind":"sde","noise":3,"steps":4})"), "/sampler/noise: must be from 0 to 2, not 3");
}

TEST(ReadFields, DescriptionsKnowWhereTheyAre) {
  std::string outer, inner;
  read_fields(parse_json(R"({"a":{}})", "job"), "/x", [&](Fields& f) {
    outer = f.pointer();
    f.object({"a", ""}, [&](Fields& g) { inner = g.pointer(); });
  });
  EXPECT_EQ(outer, "/x");
  EXPECT_EQ(inner, "/x/a");
}

TEST(WriteFields, SpellsOutEveryDefault) {
  Options o;
  o.path = "m";
  EXPECT_EQ(write_fields([&](Fields& f) { describe(f, o); }).dump(),
            R"({"path":"m","rate":0.5,"steps":10,"fast":false,"dtype":"float32","tags":["a"],"weights":{},"config":{},)"
            R"("size":{"height":64},"rewards":[]})");
}

TEST(WriteFields, WhatIsWrittenReadsAsItself) {
  auto o = read(R"({"path":"m","rate":0.1,"steps":7,"fast":true,"tags":[],"weights":{"b":0.3,"a":-1},
    "config":{"own":[1,{"k":2.5}]},"size":{"height":8},"ema":{"decay":0.123456789012345},"rewards":[{"name":"one","weight":3}]})");
  const auto written = write_fields([&](Fields& f) { describe(f, o); });
  Options again;
  read_fields(written, "", [&](Fields& f) { describe(f, again); });
  EXPECT_EQ(write_fields([&](Fields& f) { describe(f, again); }), written);
  EXPECT_EQ(again.rate, 0.1);
  EXPECT_EQ(again.ema_decay, 0.123456789012345);
  EXPECT_EQ(again.weights, o.weights);
  EXPECT_TRUE(again.tags.empty());
  auto sampler = read_sampler(R"({"kind":"sde","noise":0.25,"steps":3})");
  EXPECT_EQ(write_fields([&](Fields& f) { describe_sampler(f, sampler); }).dump(), R"({"kind":"sde","noise":0.25,"steps":3})");
}

TEST(SchemaOfFields, SaysTypesBoundsAndDefaults) {
  Options o;
  const auto schema = schema_of_fields([&](Fields& f) { describe(f, o); });
  EXPECT_EQ(schema["type"], "object");
  EXPECT_EQ(schema["additionalProperties"], false);
  EXPECT_EQ(schema["required"].dump(), R"(["path"])");
  const auto& p = schema["properties"];
  EXPECT_EQ(p.size(), 11u);
  EXPECT_EQ(p["rate"], parse_json(R"({"type":"number","minimum":0.0,"maximum":1.0,"default":0.5,"description":"Learning rate."})", ""));
  EXPECT_EQ(p["steps"], parse_json(R"({"type":"integer","minimum":1,"maximum":100,"default":10,"description":"Steps."})", ""));
  EXPECT_EQ(p["fast"]["type"], "boolean");
  EXPECT_EQ(p["dtype"]["enum"].dump(), R"(["float32","bfloat16"])");
  EXPECT_EQ(p["dtype"]["default"], "float32");
  EXPECT_EQ(p["tags"]["items"]["type"], "string");
  EXPECT_EQ(p["weights"]["additionalProperties"].dump(), R"({"type":"number","minimum":-1.0,"maximum":2.0})");
  EXPECT_EQ(p["config"]["type"], "object");
  EXPECT_FALSE(p["config"].contains("additionalProperties"));  // the plugin's own keys are welcome
  EXPECT_EQ(p["size"]["properties"]["height"]["maximum"], 512);
  EXPECT_EQ(p["ema"]["properties"]["decay"]["default"], 0.9);
  EXPECT_EQ(p["rewards"]["items"]["required"].dump(), R"(["name"])");
  EXPECT_EQ(p["rewards"]["items"]["additionalProperties"], false);
  EXPECT_EQ(p["path"]["description"], "Folder of the model.");
}

TEST(SchemaOfFields, VariantsAreWholeAlternatives) {
  Options o;
  const auto schema = schema_of_fields([&](Fields& f) { describe_sampler(f, o); });
  ASSERT_EQ(schema["oneOf"].size(), 2u);
  const auto &ode = schema["oneOf"][0], &sde = schema["oneOf"][1];
  EXPECT_EQ(ode["properties"]["kind"]["const"], "ode");
  EXPECT_EQ(ode["description"], "Euler.");
  EXPECT_FALSE(ode["properties"].contains("noise"));
  EXPECT_TRUE(sde["properties"].contains("noise"));
  EXPECT_TRUE(sde["properties"].contains("steps"));
  EXPECT_EQ(sde["additionalProperties"], false);
  EXPECT_EQ(sde["required"].dump(), R"(["kind","steps"])");
  EXPECT_EQ(ode["required"].dump(), R"(["steps"])");  // the default: its tag may be left out, as the reader allows
}

TEST(SchemaOfFields, RequiredVariantsNeedTheirTag) {
  std::string tag;
  const auto schema = schema_of_fields([&](Fields& f) {
    f.variant({"job", "What.", true}, tag, {{"a", "A.", [](Fields&) {}}, {"b", "B.", [](Fields&) {}}});
  });
  for (const auto& branch : schema["oneOf"]) EXPECT_EQ(branch["required"].dump(), R"(["job"])");
}

}  // namespace
}  // namespace thalweg
