#include "engine/core/fields.h"

#include <gtest/gtest.h>

#include "engine/core/error.h"
#include "tests/core/all_kinds.h"
#include "tests/io/scratch.h"

namespace thalweg {
namespace {

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

// Written out an empty text is left out, and the default would come back.
TEST(ReadFields, RefusesAnEmptyTextWhereAbsenceMeansAnother) {
  std::string device = "cpu", note;
  const auto describe = [&](Fields& f) {
    f.text({"device", "where"}, device);
    f.text({"note", "anything"}, note);
  };
  EXPECT_NO_THROW(read_fields(Json{{"note", ""}}, "", describe));
  EXPECT_ERROR(read_fields(Json{{"device", ""}}, "", describe),
               "/device: must not be empty; leave it out for \"cpu\"");
}

TEST(ReadFields, ChecksBounds) {
  EXPECT_ERROR(read(R"({"path":"m","rate":1.0000001})"), "/rate: must be from 0 to 1");
  EXPECT_ERROR(read(R"({"path":"m","rate":-1e-9})"), "/rate: must be from 0 to 1");
  EXPECT_ERROR(read(R"({"path":"m","steps":0})"), "/steps: must be from 1 to 100, not 0");
  EXPECT_ERROR(read(R"({"path":"m","steps":101})"), "/steps: must be from 1 to 100, not 101");
  EXPECT_ERROR(read(R"({"path":"m","steps":18446744073709551615})"), "/steps: must be from 1 to 100");
  EXPECT_ERROR(read(R"({"path":"m","steps":-9223372036854775808})"), "/steps: must be from 1 to 100");
  EXPECT_ERROR(read(R"({"path":"m","weights":{"a":2.5}})"), "/weights/a: must be from -1 to 2, not 2.5");
  EXPECT_ERROR(read(R"({"path":"m","rewards":[{"name":"a"},{"name":"b","weight":11}]})"),
               "/rewards/1/weight: must be");
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
  for (const auto& [field, message] : cases)
    EXPECT_ERROR(read(std::string(R"({"path":"m",)") + field + "}"), message);
  EXPECT_ERROR(read("[]"), "/: must be an object");
}

TEST(ReadFields, AsksForWhatIsRequired) {
  EXPECT_ERROR(read("{}"), "/path: is missing: Folder of the model.");
  EXPECT_ERROR(read(R"({"path":"m","rewards":[{"name":"a"},{}]})"), "/rewards/1/name: is missing: Which.");
}

TEST(ReadFields, RefusesUnknownKeysWithTheNearest) {
  EXPECT_ERROR(read(R"({"path":"m","stepz":3})"), "/stepz: unknown key (did you mean \"steps\"?)");
  EXPECT_ERROR(read(R"({"path":"m","size":{"heigth":64}})"),
               "/size/heigth: unknown key (did you mean \"height\"?)");
  EXPECT_ERROR(read(R"({"path":"m","size":{"colour_space":1}})"), "unknown key (known: height)");
  EXPECT_ERROR(read(R"({"path":"m","rewards":[{"name":"a","wieght":1}]})"),
               "/rewards/0/wieght: unknown key (did you mean \"weight\"?)");
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
  EXPECT_EQ(read(R"({"path":"m","config":{"ratee":{"deep":null}}})").config["ratee"].dump(),
            R"({"deep":null})");
}

TEST(ReadFields, VariantsReadTheFieldsOfTheirOwn) {
  const auto o = read_sampler(R"({"kind":"sde","noise":2,"steps":4})");
  EXPECT_EQ(o.kind, "sde");
  EXPECT_EQ(o.noise, 2.0);
  EXPECT_EQ(read_sampler(R"({"steps":4})").kind, "ode");
  EXPECT_ERROR(read_sampler(R"({"kind":"ode","noise":1,"steps":4})"), "/sampler/noise: unknown key");
  EXPECT_ERROR(read_sampler(R"({"noise":1,"steps":4})"), "/sampler/noise: unknown key");
  EXPECT_ERROR(read_sampler(R"({"kind":"sd","steps":4})"),
               "/sampler/kind: knows no \"sd\" (did you mean \"sde\"?)");
  EXPECT_ERROR(read_sampler(R"({"kind":"sde","noise":3,"steps":4})"),
               "/sampler/noise: must be from 0 to 2, not 3");
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

}  // namespace
}  // namespace thalweg
