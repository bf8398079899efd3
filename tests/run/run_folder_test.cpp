// What a job finds in its folder, and what it leaves there.
#include <gtest/gtest.h>

#include <stdexcept>

#include "engine/core/error.h"
#include "engine/core/json.h"
#include "tests/run/fake_job.h"

namespace thalweg {
namespace {

using Kind = JobEnd::Kind;

using RunFolder = RunJobTest;

TEST_F(RunFolder, AnEarlierResultIsGoneWhileTheNextRunGoesOn) {
  put("result.json", R"({"status": "succeeded"})");
  bool seen = true;
  run_that([&] {
    seen = has("result.json");
    EXPECT_TRUE(has("job.json"));
    return Json::object();
  });
  EXPECT_FALSE(seen);
}

TEST_F(RunFolder, RecordsOfAnotherJobGo) {
  put("job.json", R"({"job": "fake", "seed": 2})");
  const auto records = {"scores.jsonl", "events.jsonl", "metrics.jsonl",    "report.html",
                        "grid.png",     "grid-1.png",   "samples/00000.png"};
  const auto others = {"latents.safetensors", "grid.txt", "samples/mine.png"};
  std::filesystem::create_directories(folder_ / "samples");
  for (const auto* name : records) put(name, "x");
  for (const auto* name : others) put(name, "x");
  run_that([&] {
    for (const auto* name : records) EXPECT_FALSE(has(name)) << name;
    for (const auto* name : others) EXPECT_TRUE(has(name)) << name;
    return Json::object();
  });
}

TEST_F(RunFolder, ResultsOfAnotherJobAreNotReplaced) {
  put("job.json", R"({"job": "fake", "seed": 2})");
  put("result.json", R"({"status": "succeeded", "samples": 5})");
  const auto end = run_that([]() -> Json { throw std::logic_error("is not run"); });
  EXPECT_EQ(end.kind, Kind::wrong_job);
  EXPECT_EQ(end.place, "/output");
  EXPECT_NE(end.message.find("the results of another job: /seed is 2 there and 1 here"), std::string::npos)
      << end.message;
  EXPECT_EQ(written().at("samples"), 5);
  EXPECT_EQ(parse_json_file(folder_ / "job.json").at("seed"), 2);
  // Of one that failed nothing is lost.
  put("result.json", R"({"status": "failed"})");
  EXPECT_EQ(run_that([] { return Json::object(); }).kind, Kind::succeeded);
}

TEST_F(RunFolder, WhatAnotherJobGoesOnWithIsNotTouched) {
  put("job.json", R"({"job": "fake", "seed": 2})");
  std::filesystem::create_directories(folder_ / "checkpoint-3");
  const auto end = run_that([] { return Json::object(); });
  EXPECT_EQ(end.kind, Kind::wrong_job);
  EXPECT_NE(end.message.find("what was done of another job"), std::string::npos) << end.message;
}

TEST_F(RunFolder, NothingAchievedFailsWithWhatThereIsToSay) {
  const auto end = run_that([]() -> Json {
    throw NothingAchieved("/rewards", "not one sample was scored", {{"job", "fake"}, {"samples", 3}});
  });
  EXPECT_EQ(end.kind, Kind::wrong_job);
  EXPECT_EQ(written().at("status"), "failed");
  EXPECT_EQ(written().at("error").at("param"), "/rewards");
  EXPECT_EQ(written().at("samples"), 3);
}

TEST_F(RunFolder, RecordsOfTheSameJobStay) {
  put("job.json", R"({"name": "old", "job": "fake", "seed": 1, "parallel": {"workers": 3}})");
  put("metrics.jsonl", "x");
  FakeJob job(folder_);
  run(job, {{"name", "new"}, {"job", "fake"}, {"seed", 1}, {"parallel", {{"workers", 1}}}});
  EXPECT_TRUE(has("metrics.jsonl"));
}

TEST_F(RunFolder, FilesOfAFolderWithoutAJobStay) {
  put("report.html", "a user's own");
  run_that([] { return Json::object(); });
  EXPECT_TRUE(has("report.html"));
}

TEST_F(RunFolder, WhatTheJobReadsStays) {
  put("job.json", R"({"job": "fake", "seed": 2})");
  put("scores.jsonl", "x");
  put("events.jsonl", "x");
  FakeJob job(folder_);
  run(job, {{"job", "fake"}, {"prompts", {{"path", (folder_ / "scores.jsonl").string()}}}});
  EXPECT_TRUE(has("scores.jsonl"));
  EXPECT_FALSE(has("events.jsonl"));
}

TEST_F(RunFolder, AFinishedJobIsLeftAsItIs) {
  put("job.json", R"({"job": "fake", "seed": 2})");
  put("result.json", R"({"status": "succeeded", "samples": 5})");
  std::string said;
  observer_.message = [&](const std::string& line) { said += line; };
  FakeJob job(folder_, []() -> Json { throw std::logic_error("is not run"); });
  job.finished = true;
  const auto end = run(job);
  EXPECT_EQ(end.kind, Kind::succeeded);
  EXPECT_EQ(end.result.at("samples"), 5);
  EXPECT_NE(said.find("this job is finished"), std::string::npos);
  EXPECT_EQ(parse_json_file(folder_ / "job.json").at("seed"), 2);
}

TEST_F(RunFolder, ARefusedJobWritesNothing) {
  put("job.json", "theirs");
  put("result.json", R"({"status": "succeeded"})");
  FakeJob job(folder_);
  job.folder_check = [] { throw Error("/output", "belongs to another job"); };
  const auto end = run(job);
  EXPECT_EQ(end.kind, Kind::wrong_job);
  EXPECT_TRUE(end.result.is_null());
  EXPECT_EQ(written().at("status"), "succeeded");
  EXPECT_EQ(read_file(folder_ / "job.json"), "theirs");
}

TEST_F(RunFolder, OfTwoRunsInOneFolderTheSecondWritesNothing) {
  JobEnd second;
  const auto first = run_that([&] {
    FakeJob late(folder_);
    second = run(late, {{"job", "late"}});
    EXPECT_EQ(parse_json_file(folder_ / "job.json").at("job"), "fake");
    EXPECT_FALSE(has("result.json"));
    return Json::object();
  });
  EXPECT_EQ(second.kind, Kind::wrong_job);
  EXPECT_EQ(second.place, "/output");
  EXPECT_NE(second.message.find("another process"), std::string::npos);
  EXPECT_EQ(first.kind, Kind::succeeded);
  EXPECT_EQ(written().at("status"), "succeeded");
}

TEST_F(RunFolder, WhatAResumedRunNeedsStaysUntilTheResultIsThere) {
  FakeJob job(folder_);
  bool result_is_there = false;
  job.clean = [&] { result_is_there = has("result.json"); };
  run(job);
  EXPECT_TRUE(result_is_there);
  bool cleaned = false;
  FakeJob stopped(folder_, []() -> Json { throw Stopped{}; });
  stopped.clean = [&] { cleaned = true; };
  run(stopped);
  EXPECT_FALSE(cleaned);
}

TEST_F(RunFolder, WhatCameToNothingBeginsAnew) {
  FakeJob job(folder_, []() -> Json {
    throw NothingAchieved("/rewards", "not one sample was scored", Json::object());
  });
  std::string said;
  job.clean = [&] { said = written().at("status"); };
  run(job);
  EXPECT_EQ(said, "failed");
}

TEST_F(RunFolder, AJobJsonThatCannotBeWrittenIsAResult) {
  std::filesystem::create_directories(folder_ / "job.json" / "in the way");
  put("result.json", R"({"status": "succeeded"})");
  const auto end = run_that([] { return Json::object(); });
  EXPECT_EQ(end.kind, Kind::failed);
  EXPECT_EQ(written().at("status"), "failed");
}

TEST_F(RunFolder, StartsOnceTheFolderIsItsOwnAndBeforeItChanges) {
  put("result.json", R"({"status": "succeeded"})");
  int started = 0;
  observer_.started = [&](const std::string& output) {
    EXPECT_EQ(output, folder_.string());
    ++started;
    EXPECT_TRUE(has("result.json"));
  };
  FakeJob refused(folder_);
  refused.folder_check = [] { throw Error("/output", "belongs to another job"); };
  run(refused);
  EXPECT_EQ(started, 0);
  run_that([] { return Json::object(); });
  EXPECT_EQ(started, 1);
}

}  // namespace
}  // namespace thalweg
