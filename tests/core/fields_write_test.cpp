#include "engine/core/fields.h"

#include <gtest/gtest.h>

#include "tests/core/all_kinds.h"

namespace thalweg {
namespace {

TEST(WriteFields, SpellsOutEveryDefault) {
  AllKinds o;
  o.path = "m";
  EXPECT_EQ(
      write_fields([&](Fields& f) { describe(f, o); }).dump(),
      R"({"path":"m","rate":0.5,"steps":10,"fast":false,"dtype":"float32","tags":["a"],"weights":{},"config":{},)"
      R"("size":{"height":64},"rewards":[]})");
}

TEST(WriteFields, WhatIsWrittenReadsAsItself) {
  auto o = read(R"({"path":"m","rate":0.1,"steps":7,"fast":true,"tags":[],"weights":{"b":0.3,"a":-1},
    "config":{"own":[1,{"k":2.5}]},"size":{"height":8},"ema":{"decay":0.123456789012345},"rewards":[{"name":"one","weight":3}]})");
  const auto written = write_fields([&](Fields& f) { describe(f, o); });
  AllKinds again;
  read_fields(written, "", [&](Fields& f) { describe(f, again); });
  EXPECT_EQ(write_fields([&](Fields& f) { describe(f, again); }), written);
  EXPECT_EQ(again.rate, 0.1);
  EXPECT_EQ(again.ema_decay, 0.123456789012345);
  EXPECT_EQ(again.weights, o.weights);
  EXPECT_TRUE(again.tags.empty());
  auto sampler = read_sampler(R"({"kind":"sde","noise":0.25,"steps":3})");
  EXPECT_EQ(write_fields([&](Fields& f) { describe_sampler(f, sampler); }).dump(),
            R"({"kind":"sde","noise":0.25,"steps":3})");
}

TEST(SchemaOfFields, SaysTypesBoundsAndDefaults) {
  AllKinds o;
  const auto schema = schema_of_fields([&](Fields& f) { describe(f, o); });
  EXPECT_EQ(schema["type"], "object");
  EXPECT_EQ(schema["additionalProperties"], false);
  EXPECT_EQ(schema["required"].dump(), R"(["path"])");
  const auto& p = schema["properties"];
  EXPECT_EQ(p.size(), 11u);
  EXPECT_EQ(
      p["rate"],
      parse_json(
          R"({"type":"number","minimum":0.0,"maximum":1.0,"default":0.5,"description":"Learning rate."})",
          ""));
  EXPECT_EQ(
      p["steps"],
      parse_json(R"({"type":"integer","minimum":1,"maximum":100,"default":10,"description":"Steps."})", ""));
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
  AllKinds o;
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
  EXPECT_EQ(ode["required"].dump(),
            R"(["steps"])");  // the default: its tag may be left out, as the reader allows
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
