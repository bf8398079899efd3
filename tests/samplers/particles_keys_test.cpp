// Keys of the particle methods in a job, and what is wrong with them.
#include <gtest/gtest.h>

#include "tests/samplers/entries.h"

namespace thalweg {
namespace {

TEST(ParticleKeys, AreRead) {
  const Json fk = {{"name", "fk"},
                   {"lambda", 3.5},
                   {"particles", 8},
                   {"potential", "max"},
                   {"interval", 2},
                   {"window", {{"begin", 1}, {"size", 4}}},
                   {"resampling", "systematic"},
                   {"ess_threshold", 0.25},
                   {"returned", "all"},
                   {"value", "noisy_latents"}};
  const Json svdd = {{"name", "svdd"}, {"temperature", 0.0}, {"candidates", 3}};
  const Json das = {{"name", "das"}, {"tempering", 0.01}};
  for (const auto& json : {fk, svdd, das}) EXPECT_EQ(written(json), json);
  const auto method = read_entry(fk).method;
  EXPECT_EQ(method->particles(), 8);
  EXPECT_TRUE(method->samples());
  EXPECT_TRUE(method->needs().noisy_latents);
  EXPECT_FALSE(method->needs().reward_gradient);
  for (const auto* name : {"das", "guided_smc"})
    EXPECT_TRUE(read_entry({{"name", name}}).method->needs().reward_gradient) << name;
  EXPECT_FALSE(read_entry({{"name", "best_of_n"}}).method->needs().noise);
}

TEST(ParticleKeys, MistakesAreNamed) {
  for (const auto* name : {"fk", "das", "guided_smc", "best_of_n"})
    EXPECT_EQ(place_of_error({{"name", name}, {"particles", 0}}), "/steering/0/particles") << name;
  for (const auto* name : {"fk", "das", "guided_smc"}) {
    EXPECT_EQ(place_of_error({{"name", name}, {"lambda", -1.0}}), "/steering/0/lambda") << name;
    EXPECT_EQ(place_of_error({{"name", name}, {"resampling", "residual"}}), "/steering/0/resampling") << name;
    EXPECT_EQ(place_of_error({{"name", name}, {"ess_threshold", 1.5}}), "/steering/0/ess_threshold") << name;
    EXPECT_EQ(place_of_error({{"name", name}, {"returned", "worst"}}), "/steering/0/returned") << name;
    EXPECT_EQ(place_of_error({{"name", name}, {"value", "x0"}}), "/steering/0/value") << name;
  }
  for (const auto* name : {"fk", "svdd"}) {
    const auto window = [&](int begin, int size) {
      Json json = {{"name", name}, {"window", {{"begin", begin}, {"size", size}}}};
      if (std::string(name) == "fk") json["interval"] = 1;
      return place_of_error(json);
    };
    EXPECT_EQ(window(9, 0), "none") << name;
    EXPECT_EQ(window(4, 6), "none") << name;
    EXPECT_EQ(window(10, 0), "/steering/0/window/begin") << name;
    EXPECT_EQ(window(4, 7), "/steering/0/window/size") << name;
  }
  EXPECT_EQ(place_of_error({{"name", "guided_smc"}, {"begin", 10}}), "/steering/0/begin");
  EXPECT_EQ(place_of_error({{"name", "fk"}, {"interval", 0}}), "/steering/0/interval");
  EXPECT_EQ(place_of_error({{"name", "fk"}, {"interval", 11}}), "/steering/0/interval");
  EXPECT_EQ(place_of_error({{"name", "fk"}, {"interval", 11}, {"potential", "is"}}), "none");
  EXPECT_EQ(place_of_error({{"name", "fk"}, {"window", {{"begin", 6}}}}), "/steering/0/interval");
  EXPECT_EQ(place_of_error({{"name", "fk"}, {"potential", "sum"}}), "/steering/0/potential");
  EXPECT_EQ(place_of_error({{"name", "svdd"}, {"candidates", 0}}), "/steering/0/candidates");
  EXPECT_EQ(place_of_error({{"name", "svdd"}, {"temperature", -0.1}}), "/steering/0/temperature");
  EXPECT_EQ(place_of_error({{"name", "das"}, {"tempering", -0.1}}), "/steering/0/tempering");
}

}  // namespace
}  // namespace thalweg
