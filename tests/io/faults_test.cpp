// A save in which one system call fails, each in turn, for each kind of call and reason.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>

#include "engine/core/file.h"
#include "engine/io/checkpoint.h"
#include "engine/io/metrics.h"
#include "engine/weights/safetensors.h"
#include "tests/io/faults.h"
#include "tests/io/scratch.h"

namespace thalweg {
namespace {

namespace fs = std::filesystem;

struct Fault {
  const char* calls;
  int code;
  long count;             // of calls in a row that fail
  const char* path = "";  // of the run's folder that the fault is about; "": all
};

// Hundreds of saves: in memory where there is such a file system, for every save waits for the disk.
class Faults : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (fs::is_directory("/dev/shm") && ::access("/dev/shm", W_OK) == 0) ::setenv("TMPDIR", "/dev/shm", 0);
  }
};

// What a run does at a checkpoint, the older one's removal included.
void save(const fs::path& run, int64_t step) {
  MetricsLog metrics(run / "metrics.jsonl");
  metrics.append({{"step", step}});
  metrics.sync();
  CheckpointWriter writer(run, step);
  const auto value = static_cast<double>(step);
  write_safetensors(writer.path("policy.safetensors"),
                    {{"a", at::full({16, 16}, value)}, {"b", at::full({3}, value, at::kDouble)}});
  write_safetensors(writer.path("transformer/weights.safetensors"), {{"c", at::full({8}, value)}});
  write_synced(writer.path("metrics.jsonl"), read_file(run / "metrics.jsonl"));
  writer.commit({{"step", step}}, "run");
  prune_checkpoints(run, 1);
}

double value_of(const fs::path& checkpoint) {
  return read_safetensors(checkpoint / "policy.safetensors").tensors.at("a")[0][0].item<double>();
}

bool has_temporary(const fs::path& run) {
  for (const auto& entry : fs::recursive_directory_iterator(run))
    if (entry.path().extension() == ".tmp") return true;
  return false;
}

// What must hold whatever failed: some checkpoint loads, none that is there is damaged, and the next start
// goes on.
void expect_whole(const fs::path& run, const std::string& what) {
  const auto found = list_checkpoints(run);
  ASSERT_FALSE(found.empty()) << what;
  for (const auto& checkpoint : found) {
    ASSERT_EQ(verify_checkpoint(checkpoint), "") << what;
    ASSERT_EQ(value_of(checkpoint), static_cast<double>(read_manifest(checkpoint).step)) << what;
  }
  remove_abandoned(run);
  const int64_t next = read_manifest(found.back()).step + 1;
  save(run, next);
  ASSERT_EQ(list_checkpoints(run), std::vector<fs::path>{run / ("checkpoint-" + std::to_string(next))})
      << what;
  ASSERT_FALSE(has_temporary(run)) << what;
}

// Returns how many calls there were to fail.
int fail_each_in_turn(const Fault& fault, int& refused) {
  for (int nth = 1;; ++nth) {
    Scratch run;
    save(run.folder(), 1);
    faults_arm(fault.calls, nth, fault.count, fault.code, (run.folder().string() + fault.path).c_str());
    const auto said = error_of([&] { save(run.folder(), 2); });
    if (faults_disarm() == 0) return nth - 1;
    const std::string what = std::string(faults_first()) + " failed with " + std::to_string(fault.code);
    if (!said.empty()) {
      ++refused;
      EXPECT_NE(said.find(run.folder().string()), std::string::npos) << what << ": " << said;
    }
    expect_whole(run.folder(), what);
    if (::testing::Test::HasFatalFailure()) return nth;
  }
}

TEST_F(Faults, EveryFailedCallOfASaveLeavesACheckpointThatLoads) {
  int total = 0;
  for (const Fault& fault :
       {Fault{"open", EIO, 1}, Fault{"open", EMFILE, 1}, Fault{"write", EIO, 1},
        Fault{"write", ENOSPC, LONG_MAX}, Fault{"fsync", EIO, 1}, Fault{"rename", EIO, 1},
        Fault{"close", EIO, 1}, Fault{"mkdir", ENOSPC, 1}, Fault{"unlink", EIO, 1},
        Fault{"open,write,mkdir,rename,fsync,unlink", EROFS, LONG_MAX}}) {
    int refused = 0;
    const int calls = fail_each_in_turn(fault, refused);
    if (HasFatalFailure()) return;
    std::printf("%-40s errno %2d: %3d calls failed, %3d saves refused\n", fault.calls, fault.code, calls,
                refused);
    EXPECT_GT(calls, 0) << fault.calls;
    EXPECT_GT(refused, 0) << fault.calls;
    total += calls;
  }
  EXPECT_GT(total, 100);
}

// These are no failures: the save goes on.
TEST_F(Faults, InterruptionsAndShortWritesAreGoneOnFrom) {
  for (const Fault& fault :
       {Fault{"write", 0, 1}, Fault{"write", 0, LONG_MAX}, Fault{"write", EINTR, 2},
        Fault{"open", EINTR, 2, "/.checkpoint-2.tmp/policy"}, Fault{"fsync", EINTR, 2}}) {
    int refused = 0;
    EXPECT_GT(fail_each_in_turn(fault, refused), 0) << fault.calls;
    if (HasFatalFailure()) return;
    EXPECT_EQ(refused, 0) << fault.calls << " errno " << fault.code;
  }
}

// The manifest is the last file to be written: without it nothing takes the checkpoint for whole.
TEST_F(Faults, AFullDiskIsNamed) {
  Scratch run;
  save(run.folder(), 1);
  for (const char* file : {"metrics.jsonl", "policy.safetensors", "state.json", "manifest.json"}) {
    faults_arm("write", 1, 1, ENOSPC, file);
    const auto said = error_of([&] { save(run.folder(), 2); });
    EXPECT_EQ(faults_disarm(), 1) << file;
    EXPECT_NE(said.find(std::string(file) + ": cannot be written: the disk is full"), std::string::npos)
        << said;
    EXPECT_EQ(list_checkpoints(run.folder()), std::vector<fs::path>{run / "checkpoint-1"}) << file;
    EXPECT_EQ(verify_checkpoint(run / "checkpoint-1"), "") << file;
  }
}

TEST_F(Faults, AFileIsTheOldOneOrTheNew) {
  for (const char* calls : {"open", "write", "fsync", "rename", "close"}) {
    for (long nth = 1;; ++nth) {
      Scratch folder;
      write_synced(folder / "result.json", "old");
      faults_arm(calls, nth, 1, EIO, folder.folder().c_str());
      const auto said = error_of([&] { write_synced(folder / "result.json", "new"); });
      const bool failed = faults_disarm() > 0;
      const auto text = read_file(folder / "result.json");
      EXPECT_TRUE(text == "old" || text == "new") << text;
      EXPECT_FALSE(has_temporary(folder.folder())) << calls;
      if (!failed) {
        EXPECT_EQ(text, "new");
        break;
      }
      if (said.empty()) {
        EXPECT_EQ(text, "new") << calls;
      }
    }
  }
}

}  // namespace
}  // namespace thalweg
