#include "engine/io/checkpoint.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "engine/core/sha256.h"
#include "tests/io/scratch.h"

namespace thalweg {
namespace {

namespace fs = std::filesystem;

fs::path write_checkpoint(const fs::path& run, int64_t step, const std::string& payload = "weights") {
  CheckpointWriter writer(run, step);
  write_file(writer.path("lora.safetensors"), payload);
  write_file(writer.path("transformer/config.json"), "{}");
  return writer.commit({{"step", step}, {"seed", 7}}, "hash");
}

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

using Names = std::vector<std::string>;

// Runs `action` in a child process; its exit status, or 128 + signal.
int in_child(const std::function<int()>& action, const std::function<void(pid_t)>& meanwhile = {}) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(action());
  if (meanwhile) meanwhile(child);
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

TEST(Checkpoint, HoldsItsFilesStateAndManifest) {
  Scratch run;
  const auto folder = write_checkpoint(run.folder(), 10);
  EXPECT_EQ(folder, run / "checkpoint-10");
  EXPECT_EQ(names_in(run.folder()), Names{"checkpoint-10"});
  EXPECT_EQ(names_in(folder), (Names{"lora.safetensors", "manifest.json", "state.json", "transformer"}));
  EXPECT_EQ(verify_checkpoint(folder), "");
  EXPECT_EQ(read_state(folder)["seed"], 7);
  const auto manifest = read_manifest(folder);
  EXPECT_EQ(manifest.step, 10);
  EXPECT_EQ(manifest.run, "hash");
  ASSERT_EQ(manifest.files.size(), 3u);
  EXPECT_EQ(manifest.files[0].name, "lora.safetensors");
  EXPECT_EQ(manifest.files[0].size, 7u);
  EXPECT_EQ(manifest.files[0].sha256, sha256_hex("weights"));
  EXPECT_EQ(manifest.files[2].name, "transformer/config.json");
}

TEST(Checkpoint, LeavesNothingWithoutCommit) {
  Scratch run;
  {
    CheckpointWriter writer(run.folder(), 3);
    write_file(writer.path("a"), "a");
    EXPECT_EQ(names_in(run.folder()), Names{".checkpoint-3.tmp"});
  }
  EXPECT_TRUE(names_in(run.folder()).empty());
}

TEST(Checkpoint, ReplacesOneOfTheSameStep) {
  Scratch run;
  write_checkpoint(run.folder(), 5, "old");
  const auto folder = write_checkpoint(run.folder(), 5, "new");
  EXPECT_EQ(names_in(run.folder()), Names{"checkpoint-5"});
  EXPECT_EQ(verify_checkpoint(folder), "");
  EXPECT_EQ(read_file(folder / "lora.safetensors"), "new");
}

TEST(Checkpoint, KeepsItsFilesInside) {
  Scratch run;
  CheckpointWriter writer(run.folder(), 1);
  for (const char* name : {"../evil", "/etc/evil", "a/../../b", "", ".", "state.json", "manifest.json"})
    EXPECT_ERROR(writer.path(name), "no name for a checkpoint file");
  EXPECT_ERROR(CheckpointWriter(run.folder(), -1), "negative");
  writer.commit({}, "");
  EXPECT_ERROR(writer.commit({}, ""), "committed before");
}

TEST(Checkpoint, IsFoundByNumberNotByLetters) {
  Scratch run;
  for (int64_t step : {9, 10, 100}) write_checkpoint(run.folder(), step);
  fs::create_directory(run / "checkpoint-200.bak");
  fs::create_directory(run / "checkpoint-0300");
  fs::create_directory(run / ".checkpoint-400.tmp");
  EXPECT_EQ(list_checkpoints(run.folder()),
            (std::vector<fs::path>{run / "checkpoint-9", run / "checkpoint-10", run / "checkpoint-100"}));
  EXPECT_TRUE(list_checkpoints(run / "absent").empty());
}

TEST(Checkpoint, SaysWhatIsDamaged) {
  Scratch run;
  for (int64_t step : {1, 2, 3, 4, 5, 6}) write_checkpoint(run.folder(), step);
  write_file(run / "checkpoint-2/lora.safetensors", "weightz");
  fs::resize_file(run / "checkpoint-3/lora.safetensors", 3);
  fs::remove(run / "checkpoint-4/state.json");
  fs::remove(run / "checkpoint-5/manifest.json");
  write_file(run / "checkpoint-6/manifest.json", "{\"version\": 1, \"step\":");
  EXPECT_EQ(verify_checkpoint(run / "checkpoint-1"), "");
  for (const auto& [step, part] : std::vector<std::pair<int, std::string>>{{2, "another sha256"},
                                                                           {3, "another size"},
                                                                           {4, "state.json: is missing"},
                                                                           {5, "no such file"},
                                                                           {6, "not valid JSON"}}) {
    const auto problem = verify_checkpoint(run / ("checkpoint-" + std::to_string(step)));
    EXPECT_NE(problem.find(part), std::string::npos) << problem;
  }
}

TEST(Checkpoint, TrustsNoManifest) {
  Scratch run;
  const auto folder = write_checkpoint(run.folder(), 1);
  for (const char* manifest :
       {R"({"version":2,"step":1,"run":"h","files":[{"name":"../../etc/passwd","size":1,"sha256":""}]})",
        R"({"version":2,"step":1,"run":"h","files":[{"name":"state.json","size":-1,"sha256":""}]})",
        R"({"version":1,"step":1,"run":"h","files":[]})", R"({"version":2,"step":1,"run":"h","files":[]})",
        R"({"version":2,"step":2,"run":"h","files":[]})", R"([])", R"({"version":2,"files":7})"}) {
    write_file(folder / "manifest.json", manifest);
    EXPECT_NE(verify_checkpoint(folder), "") << manifest;
  }
}

TEST(Checkpoint, PruningKeepsTheNewestAndTheProtected) {
  Scratch run;
  for (int64_t step = 1; step <= 6; ++step) write_checkpoint(run.folder(), step);
  fs::create_directory(run / ".checkpoint-7.tmp");
  fs::create_directory(run / "samples");
  const auto deleted = prune_checkpoints(run.folder(), 2, {3});
  EXPECT_EQ(deleted.size(), 3u);
  EXPECT_EQ(names_in(run.folder()), (Names{"checkpoint-3", "checkpoint-5", "checkpoint-6", "samples"}));
  EXPECT_TRUE(prune_checkpoints(run.folder(), 5, {}).empty());
  EXPECT_ERROR(prune_checkpoints(run.folder(), 0), "at least one");
}

TEST(Checkpoint, PruningWaitsForANewestThatVerifies) {
  Scratch run;
  for (int64_t step : {1, 2, 3}) write_checkpoint(run.folder(), step);
  write_file(run / "checkpoint-3/lora.safetensors", "spoilt!");
  EXPECT_TRUE(prune_checkpoints(run.folder(), 1).empty());
  EXPECT_EQ(list_checkpoints(run.folder()).size(), 3u);
}

// The file size limit fails the write that crosses it: with a rising limit each of the writes in turn.
TEST(Checkpoint, AFailedWriteLeavesTheOlderOne) {
  Scratch run;
  write_checkpoint(run.folder(), 1);
  int failures = 0;
  for (rlim_t limit = 1;; limit += 16) {
    const int status = in_child([&] {
      ::signal(SIGXFSZ, SIG_IGN);
      const rlimit cap{limit, limit};
      ::setrlimit(RLIMIT_FSIZE, &cap);
      const std::string text = error_of([&] { write_checkpoint(run.folder(), 2); });
      if (text.empty()) return 0;
      return text.find(run.folder().string()) != std::string::npos ? 1 : 2;  // the path is named
    });
    if (status == 0) break;
    ++failures;
    ASSERT_EQ(status, 1) << "limit " << limit;
    ASSERT_EQ(names_in(run.folder()), Names{"checkpoint-1"}) << "limit " << limit;
    ASSERT_EQ(verify_checkpoint(run / "checkpoint-1"), "");
  }
  EXPECT_GT(failures, 10);
  EXPECT_EQ(verify_checkpoint(run / "checkpoint-2"), "");
}

// Killed at any moment, a run leaves checkpoints that verify, and the next writer clears the rest.
TEST(Checkpoint, AKillLeavesOnlyWholeOnes) {
  Scratch run;
  write_checkpoint(run.folder(), 0);
  for (int round = 0; round < 12; ++round) {
    const int status = in_child(
        [&] {
          for (int64_t step = 1;; ++step) write_checkpoint(run.folder(), step % 50, std::string(20000, 'w'));
          return 0;
        },
        [&](pid_t child) {
          ::usleep(static_cast<useconds_t>(2000 + 1700 * round));
          ::kill(child, SIGKILL);
        });
    ASSERT_EQ(status, 128 + SIGKILL);
    for (const auto& folder : list_checkpoints(run.folder())) ASSERT_EQ(verify_checkpoint(folder), "");
  }
  write_checkpoint(run.folder(), 60);
  prune_checkpoints(run.folder(), 1);
  EXPECT_EQ(names_in(run.folder()), Names{"checkpoint-60"});
}

}  // namespace
}  // namespace thalweg
