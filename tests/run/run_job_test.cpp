// How a job ends, whatever it throws.
#include <c10/util/Exception.h>
#include <gtest/gtest.h>

#include <new>
#include <stdexcept>
#include <utility>

#include "engine/core/error.h"
#include "engine/core/json.h"
#include "pipelines/stages/not_finite.h"
#include "tests/run/fake_job.h"

namespace thalweg {
namespace {

using Kind = JobEnd::Kind;

class RunJob : public RunJobTest {
 protected:
  /// How a job that does `work` ends, and what result.json says of it.
  void expect_ends(std::function<Json()> work, Kind kind, const std::string& place,
                   const std::string& words) {
    const auto end = run_that(std::move(work));
    EXPECT_EQ(end.kind, kind);
    EXPECT_NE(end.message.find(words), std::string::npos) << end.message;
    const auto result = written();
    EXPECT_EQ(result, end.result);
    EXPECT_EQ(result.at("status"), "failed");
    EXPECT_EQ(result.at("error").at("param"), place);
    const auto message = result.at("error").at("message").get<std::string>();
    EXPECT_NE(message.find(words), std::string::npos) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  }
};

TEST_F(RunJob, WritesJobAndResultWithTheStatusFirst) {
  const auto end = run_that([] { return Json{{"job", "fake"}, {"samples", 3}}; });
  EXPECT_EQ(end.kind, Kind::succeeded);
  EXPECT_EQ(end.message, "");
  EXPECT_EQ(written().dump(), R"({"status":"succeeded","job":"fake","samples":3})");
  EXPECT_EQ(end.result, written());
  EXPECT_EQ(parse_json_file(folder_ / "job.json"), Json({{"job", "fake"}, {"seed", 1}}));
}

TEST_F(RunJob, ErrorsOfTheUserAreTheirs) {
  expect_ends([]() -> Json { throw Error("/seed", "is wrong"); }, Kind::wrong_job, "/seed", "is wrong");
}

TEST_F(RunJob, WhatTheMachineRefusesFails) {
  expect_ends([]() -> Json { throw IoError("/disk/file", "cannot be written: the disk is full"); },
              Kind::failed, "/disk/file", "disk is full");
  expect_ends(
      []() -> Json {
        throw std::filesystem::filesystem_error("copy", "/disk/a",
                                                std::make_error_code(std::errc::permission_denied));
      },
      Kind::failed, "/disk/a", "permission denied");
  expect_ends([]() -> Json { throw std::bad_alloc(); }, Kind::failed, "", "no memory is left");
}

TEST_F(RunJob, SamplesThatAreNotFiniteNeverSucceed) {
  expect_ends(
      []() -> Json {
        require_finite_samples("sample", 0, 64);
        require_finite_samples("sample", 3, 64);
        return {};
      },
      Kind::failed, "", "sample: 3 of 64 samples are not finite");
}

TEST_F(RunJob, FaultsOfTheProgramFailWithAResult) {
  expect_ends([]() -> Json { throw std::runtime_error("two\nlines"); }, Kind::failed, "", "two");
  expect_ends([]() -> Json { return Json::parse("{\"a\": \"b\"}").at("a").get<int>(); }, Kind::failed, "",
              "type");
  expect_ends([]() -> Json { throw 7; }, Kind::failed, "", "unknown type");
}

TEST_F(RunJob, ErrorsOfLibTorchAreKeptWithoutTheirTrace) {
  const auto end =
      run_that([]() -> Json { TORCH_CHECK(false, "CUDA out of memory: tried to allocate a lot"); });
  EXPECT_EQ(end.kind, Kind::failed);
  EXPECT_EQ(end.message.find("internal error: CUDA out of memory"), 0U) << end.message;
  EXPECT_EQ(written().at("error").at("message"), "CUDA out of memory: tried to allocate a lot");
}

TEST_F(RunJob, AStoppedRunSaysSo) {
  const auto end = run_that([]() -> Json { throw Stopped{}; });
  EXPECT_EQ(end.kind, Kind::stopped);
  EXPECT_TRUE(end.resumes);
  EXPECT_EQ(written(), Json({{"status", "stopped"}}));
}

TEST_F(RunJob, AResultThatCannotBeWrittenIsAFailure) {
  const auto end = run_that([&] {
    std::filesystem::create_directories(folder_ / "result.json" / "in the way");
    return Json::object();
  });
  EXPECT_EQ(end.kind, Kind::failed);
  EXPECT_NE(end.message.find("result.json"), std::string::npos) << end.message;
}

TEST_F(RunJob, AWholeJobIsReadAndChecked) {
  const auto wrong = run_job({{"version", 1}, {"job", "smaple"}, {"output", folder_.string()}}, observer_);
  EXPECT_EQ(wrong.kind, Kind::wrong_job);
  EXPECT_EQ(wrong.place, "/job");
  EXPECT_FALSE(std::filesystem::exists(folder_));
}

TEST_F(RunJob, AJobOfTheTableLeavesItsResult) {
  const Json job = {
      {"version", 1},
      {"job", "score"},
      {"images", (scratch_ / "").string()},
      {"prompts", {{"texts", {"a red circle"}}}},
      {"rewards", {{{"plugin", THALWEG_BUILD_DIR "/plugins/color.so"}, {"isolation", "inproc"}}}},
      {"output", folder_.string()}};
  const auto end = run_job(job, observer_);  // a folder without a picture
  EXPECT_EQ(end.kind, Kind::wrong_job) << end.message;
  EXPECT_EQ(end.place, "/images");
  EXPECT_EQ(written().at("error").at("param"), "/images");
  EXPECT_EQ(parse_json_file(folder_ / "job.json").at("batch_size"), 16);
}

}  // namespace
}  // namespace thalweg
