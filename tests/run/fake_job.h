// A job that does what a test says, and a folder for it.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <string>
#include <utility>

#include "pipelines/run/run_job.h"
#include "tests/io/scratch.h"

namespace thalweg {

class FakeJob final : public Job {
 public:
  explicit FakeJob(const std::filesystem::path& output) : output_(output.string()) {}
  FakeJob(const std::filesystem::path& output, std::function<Json()> work)
      : work(std::move(work)), output_(output.string()) {}

  void describe(Fields&) override {}
  std::string output() const override { return output_; }
  void check_folder() const override { folder_check(); }
  bool is_finished() const override { return finished; }
  bool resumes() const override { return true; }
  Json run(const Observer&) override { return work(); }
  void clean_up() const override { clean(); }

  std::function<void()> folder_check = [] {}, clean = [] {};
  std::function<Json()> work = [] { return Json{{"job", "fake"}, {"samples", 3}}; };
  bool finished = false;

 private:
  std::string output_;
};

class RunJobTest : public ::testing::Test {
 protected:
  JobEnd run(FakeJob& job, const Json& resolved = {{"job", "fake"}, {"seed", 1}}) {
    return run_job(job, resolved, observer_);
  }
  JobEnd run_that(std::function<Json()> work) {
    FakeJob job(folder_, std::move(work));
    return run(job);
  }

  Json written() const { return parse_json_file(folder_ / "result.json"); }
  bool has(const char* name) const { return std::filesystem::exists(folder_ / name); }
  void put(const char* name, const std::string& text) const {
    std::filesystem::create_directories(folder_);
    write_file(folder_ / name, text);
  }

  Scratch scratch_;
  std::filesystem::path folder_ = scratch_ / "run";
  Observer observer_;
};

}  // namespace thalweg
