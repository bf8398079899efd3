#include "pipelines/plan/machine.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "engine/core/json.h"

namespace thalweg {
namespace {

namespace fs = std::filesystem;

// A machine with 8 GB available, and what the tests put beside.
class Machine : public testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::path(testing::TempDir()) / ("machine-" + std::to_string(::getpid()));
    write("proc/meminfo", "MemTotal:       16000000 kB\nMemAvailable:    8000000 kB\n");
  }
  void TearDown() override { fs::remove_all(root_); }
  void write(const fs::path& path, const std::string& text) {
    fs::create_directories((root_ / path).parent_path());
    write_file(root_ / path, text);
  }
  fs::path root_;
};

TEST_F(Machine, WithoutALimitIsItsMemory) {
  write("proc/self/cgroup", "0::/\n");
  write("sys/fs/cgroup/memory.max", "max\n");
  write("sys/fs/cgroup/memory.current", "1000\n");
  const auto available = available_memory(root_);
  EXPECT_EQ(available.bytes, 8000000.0 * 1024);
  EXPECT_EQ(available.limit, "memory of the machine");
}

TEST_F(Machine, ALimitOfAnOuterGroupCounts) {
  write("proc/self/cgroup", "12:cpu:/other\n0::/user/job\n");
  write("sys/fs/cgroup/user/memory.max", "3000000000\n");
  write("sys/fs/cgroup/user/memory.current", "1000000000\n");
  write("sys/fs/cgroup/user/job/memory.max", "max\n");
  const auto available = available_memory(root_);
  EXPECT_EQ(available.bytes, 2e9);
  EXPECT_EQ(available.limit, "memory limit of the control group");
}

TEST_F(Machine, VersionOneIsReadToo) {
  write("sys/fs/cgroup/memory/memory.limit_in_bytes", "1000000000\n");
  write("sys/fs/cgroup/memory/memory.usage_in_bytes", "1500000000\n");
  EXPECT_EQ(available_memory(root_).bytes, 0.0);  // over its limit already
}

TEST(ThisProcess, HasMemoryAndSpeed) {
  EXPECT_GT(process_memory("VmRSS"), 1e6);
  EXPECT_GE(process_memory("VmHWM"), process_memory("VmRSS"));
  EXPECT_EQ(process_memory("VmNothing"), 0.0);
  EXPECT_GT(matrix_product_rate(at::kFloat), 1e6);
}

}  // namespace
}  // namespace thalweg
