#include "rewards/hosted/sandbox.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>

#include "engine/core/error.h"
#include "engine/core/scratch_folder.h"
#include "rewards/config_paths.h"
#include "rewards/hosted/host_limits.h"
#include "rewards/hosted/interpreter.h"
#include "tests/rewards/fixtures.h"

namespace fs = std::filesystem;

namespace thalweg::testing {
namespace {

// HOME for the length of a test.
class Home {
 public:
  explicit Home(const fs::path& home) : before_(std::getenv("HOME") ? std::getenv("HOME") : "") {
    ::setenv("HOME", home.c_str(), 1);
  }
  ~Home() { ::setenv("HOME", before_.c_str(), 1); }

 private:
  const std::string before_;
};

void touch(const fs::path& file) {
  fs::create_directories(file.parent_path());
  std::ofstream(file) << "x";
}

bool has(const std::vector<std::string>& places, const fs::path& path) {
  return std::find(places.begin(), places.end(), path.string()) != places.end();
}

TEST(Sandbox, CrossesAsJson) {
  const Sandbox sandbox{.network = true,
                        .gpu = true,
                        .readable = {"/a", "b c"},
                        .writable = {"d"},
                        .listed = {"e"},
                        .temporary = "/t"};
  const auto again = sandbox_from(parse_json(to_json(sandbox).dump(), "test"));
  EXPECT_EQ(to_json(again), to_json(sandbox));
  EXPECT_TRUE(again.network && again.gpu);
  EXPECT_EQ(again.readable, sandbox.readable);
  EXPECT_THROW(sandbox_from(Json::object()), Json::exception);
}

TEST(Sandbox, AHomeIsNeverAFolderOfAReward) {
  const thalweg::ScratchFolder scratch("thalweg-test");
  const auto home = scratch.path() / "home";
  touch(home / "mine.py");
  touch(home / "beside.py");
  touch(home / ".ssh/id");
  touch(home / "project/mine.py");
  const Home at(home);
  EXPECT_TRUE(holds_home(home));
  EXPECT_TRUE(holds_home(scratch.path()));
  EXPECT_TRUE(holds_home("/"));
  EXPECT_FALSE(holds_home(home / "project"));

  Sandbox inside;
  add_own_places(home / "project/mine.py", inside);
  EXPECT_TRUE(has(inside.readable, home / "project"));
  EXPECT_FALSE(has(inside.readable, home));

  Sandbox at_home;
  add_own_places(home / "mine.py", at_home);
  EXPECT_TRUE(has(at_home.readable, home / "mine.py"));
  EXPECT_TRUE(has(at_home.readable, home / "beside.py"));
  EXPECT_FALSE(has(at_home.readable, home));
  EXPECT_FALSE(has(at_home.readable, home / ".ssh"));
  EXPECT_TRUE(has(at_home.listed, home));

  EXPECT_TRUE(named_places(home).empty());
  EXPECT_EQ(named_places(home / ".ssh/id"), std::vector<std::string>{(home / ".ssh/id").string()});
}

TEST(Sandbox, ALinkedLibraryHasBothFolders) {
  const thalweg::ScratchFolder scratch("thalweg-test");
  touch(scratch.path() / "real/mine.so");
  fs::create_directories(scratch.path() / "linked");
  fs::create_symlink(scratch.path() / "real/mine.so", scratch.path() / "linked/mine.so");
  Sandbox sandbox;
  add_own_places(scratch.path() / "linked/mine.so", sandbox);
  EXPECT_TRUE(has(sandbox.readable, scratch.path() / "linked"));
  EXPECT_TRUE(has(sandbox.readable, fs::canonical(scratch.path() / "real")));
}

TEST(Sandbox, ASnapshotOfAModelCacheComesWithItsBlobs) {
  const thalweg::ScratchFolder scratch("thalweg-test");
  const auto model = scratch.path() / "models--a--b";
  touch(model / "blobs/0123");
  touch(model / "snapshots/main/config.json");
  for (const auto& named : {model / "snapshots/main", model / "snapshots/main/config.json"}) {
    const auto places = named_places(named);
    EXPECT_TRUE(has(places, named));
    EXPECT_TRUE(has(places, model / "blobs"));
    EXPECT_FALSE(has(places, scratch.path()));
  }
}

TEST(ConfigPaths, AreWhatLooksLikeOneAndIsThere) {
  const thalweg::ScratchFolder scratch("thalweg-test");
  touch(scratch.path() / "weights.bin");
  const auto file = (scratch.path() / "weights.bin").string();
  const auto found =
      paths_in({{"a", {{"b", {file, "no/such/file"}}}}, {"word", "."}, {"n", 3}}, "/rewards/0/config");
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].pointer, "/rewards/0/config/a/b/0");
  EXPECT_EQ(found[0].path, file);
}

TEST(HostLimits, WhatIsNotThereOrNotReadIsRefused) {
  EXPECT_NO_THROW(check({.files = {"/usr"}, .writable = {"/tmp"}}, "/h"));
  EXPECT_EQ(error_of([] { check({.files = {"/usr", "/no/such"}}, "/h"); }).place, "/h/files/1");
  EXPECT_EQ(error_of([] { check({.writable = {"/no/such"}}, "/h"); }).place, "/h/writable/0");
  EXPECT_EQ(error_of([] { check({.sandbox = false, .network = true}, "/h"); }).place, "/h/network");
}

TEST(Interpreter, SaysWhereItsFilesAre) {
  const auto script = built_plugins().front() / "python.py";
  const auto found = ask_interpreter("python3", script, 60.0, "/i");
  EXPECT_TRUE(fs::path(found.executable).is_absolute());
  EXPECT_FALSE(found.places.empty());
  const auto absent = error_of([&] { ask_interpreter("no-such-python", script, 60.0, "/i"); });
  EXPECT_EQ(absent.place, "/i");
  EXPECT_NE(absent.message.find("no-such-python"), std::string::npos);
  const auto other = error_of([&] { ask_interpreter("true", script, 60.0, "/i"); });
  EXPECT_NE(other.message.find("is no Python 3: it ended by itself"), std::string::npos) << other.message;
}

}  // namespace
}  // namespace thalweg::testing
