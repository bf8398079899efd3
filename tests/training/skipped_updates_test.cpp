#include "pipelines/pretraining/skipped_updates.h"

#include <gtest/gtest.h>

#include <cmath>

#include "engine/io/checkpoint.h"
#include "tests/io/scratch.h"

namespace thalweg {
namespace {

TEST(SkippedUpdates, AreCountedSaidAndKept) {
  SkippedUpdates skipped("vae", "/vae/learning_rate");
  Metrics metrics;
  EXPECT_FALSE(skipped.skips(0.5, 0, metrics));
  EXPECT_TRUE(metrics.empty());
  EXPECT_TRUE(skipped.skips(HUGE_VAL, 1, metrics));
  EXPECT_TRUE(skipped.skips(std::nan(""), 2, metrics));
  ASSERT_EQ(metrics.size(), 1u);
  EXPECT_EQ(metrics[0].second, 2.0);
  const auto events = skipped.take();
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[1].type, "update_skipped");
  EXPECT_EQ(events[1].data.at("update"), 3);
  EXPECT_EQ(events[1].data.at("skipped"), 2);
  EXPECT_NE(events[1].message.find("/vae/learning_rate"), std::string::npos);
  EXPECT_TRUE(skipped.take().empty());

  const Scratch scratch;
  CheckpointWriter writer(scratch / "run", 3);
  StateWriter state(writer);
  skipped.state(state);
  writer.commit(state.json(), Json::object());
  SkippedUpdates resumed("vae", "/vae/learning_rate");
  StateReader reader(scratch / "run/checkpoint-3", at::kCPU);
  resumed.state(reader);
  EXPECT_EQ(resumed.count(), 2);
}

TEST(SkippedUpdates, OfAllUpdatesAreAnError) {
  EXPECT_NO_THROW(require_some_update(3, 4, "/vae/learning_rate"));
  EXPECT_ERROR(require_some_update(4, 4, "/vae/learning_rate"), "not one of the 4 updates was made");
}

}  // namespace
}  // namespace thalweg
