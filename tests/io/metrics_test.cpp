#include "engine/io/metrics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>

#include "tests/io/scratch.h"

namespace thalweg {
namespace {

void append_raw(const std::filesystem::path& path, const std::string& text) {
  std::ofstream(path, std::ios::app | std::ios::binary) << text;
}

std::vector<int64_t> steps_of(const std::filesystem::path& path) {
  std::vector<int64_t> steps;
  for (const auto& row : MetricsLog::read_all(path)) steps.push_back(row.value("step", int64_t{-1}));
  return steps;
}

TEST(MetricsLog, KeepsRowsInOrderAcrossOpenings) {
  Scratch scratch;
  EXPECT_TRUE(MetricsLog::read_all(scratch / "m").empty());
  MetricsLog(scratch / "m").append({{"step", 1}, {"reward_scene", 0.1}});
  MetricsLog log(scratch / "m");
  log.append({{"step", 2}, {"reward_scene", 0.30000000000000004}});
  const auto rows = MetricsLog::read_all(scratch / "m");  // while the log is open: each row is out at once
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[1]["reward_scene"].get<double>(), 0.30000000000000004);
  EXPECT_EQ(read_file(scratch / "m"),
            "{\"step\":1,\"reward_scene\":0.1}\n{\"step\":2,\"reward_scene\":0.30000000000000004}\n");
}

TEST(MetricsLog, StaysJsonWhateverItIsGiven) {
  Scratch scratch;
  MetricsLog log(scratch / "m");
  log.append({{"loss", std::numeric_limits<double>::quiet_NaN()}, {"error", "bad \xff byte\nand a line"}});
  const auto rows = MetricsLog::read_all(scratch / "m");
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_TRUE(rows[0]["loss"].is_null());
  EXPECT_ERROR(log.append(Json::array()), "JSON object");
}

TEST(MetricsLog, SurvivesATornLastLine) {
  Scratch scratch;
  MetricsLog(scratch / "m").append({{"step", 1}});
  append_raw(scratch / "m", "{\"step\":2,\"rew");
  EXPECT_EQ(steps_of(scratch / "m"), std::vector<int64_t>({1}));
  MetricsLog(scratch / "m").append({{"step", 2}});
  EXPECT_EQ(steps_of(scratch / "m"), (std::vector<int64_t>{1, 2}));
  append_raw(scratch / "m", std::string(40, '\0') + "\n");  // what a power cut can leave
  EXPECT_EQ(steps_of(scratch / "m"), (std::vector<int64_t>{1, 2}));
}

TEST(MetricsLog, CutsAFileThatIsOneTornLine) {
  Scratch scratch;
  append_raw(scratch / "m", "{\"st");
  MetricsLog(scratch / "m").append({{"step", 1}});
  EXPECT_EQ(steps_of(scratch / "m"), std::vector<int64_t>({1}));
}

TEST(MetricsLog, NamesABadLineInTheMiddle) {
  Scratch scratch;
  append_raw(scratch / "m", "{\"step\":1}\nnonsense\n{\"step\":3}\n");
  EXPECT_ERROR(MetricsLog::read_all(scratch / "m"), "line 2");
}

TEST(MetricsLog, NamesAFullDisk) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "no /dev/full here";
  EXPECT_ERROR(MetricsLog("/dev/full").append({{"step", 1}}),
               "/dev/full: cannot be written: the disk is full");
  EXPECT_ERROR(MetricsLog("/nonexistent/m"), "/nonexistent/m");
}

}  // namespace
}  // namespace thalweg
