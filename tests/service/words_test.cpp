// What is read from requests: targets, ranges, formulas, lines of files that grow.
#include <fcntl.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "engine/core/descriptor.h"
#include "engine/core/scratch_folder.h"
#include "pipelines/service/api/formula.h"
#include "pipelines/service/http/file_answer.h"
#include "pipelines/service/http/message.h"
#include "pipelines/service/http/target.h"
#include "pipelines/service/jobs/follower.h"

namespace thalweg::service {
namespace {

namespace fs = std::filesystem;

TEST(Target, IsDecodedOnce) {
  const auto target = parse_target("/a%20b/%2541?x=1+2&y=%26&z");
  EXPECT_EQ(target.path, "/a b/%41");
  EXPECT_EQ(target.query.at("x"), "1 2");
  EXPECT_EQ(target.query.at("y"), "&");
  EXPECT_EQ(target.query.at("z"), "");
}

TEST(Target, NothingLeadsUp) {
  for (const char* bad : {"", "a", "/..", "/a/../b", "/%2e%2e", "/a/%2E./b", "/.", "/a/.", "/%00", "/%",
                          "/%4", "/%4g", "/\xff", "/a?x=1&x=2", "/a?x=%ff"})
    EXPECT_THROW(parse_target(bad), ApiError) << bad;
  for (const char* good : {"/", "/...", "/a..b", "/..a", "/a?..", "/a/b/"})
    EXPECT_NO_THROW(parse_target(good)) << good;
}

TEST(Formula, IsAWeightedSum) {
  using Weights = std::vector<std::pair<std::string, double>>;
  EXPECT_EQ(linear_weights("a", "/p"), (Weights{{"a", 1.0}}));
  EXPECT_EQ(linear_weights(" 0.5*a + b/4 - 2 * c ", "/p"), (Weights{{"a", 0.5}, {"b", 0.25}, {"c", -2.0}}));
  EXPECT_EQ(linear_weights("-a + a*3", "/p"), (Weights{{"a", 2.0}}));
  for (const char* bad :
       {"", "1", "a b", "a +", "a * b", "max(a, b)", "a / 0", "(a)", "a ^ 2", "2 a", "1e999 * a", "a + é"})
    EXPECT_THROW(linear_weights(bad, "/p"), ApiError) << bad;
}

struct FileTest : testing::Test {
  FileTest() : folder("thalweg-words-test"), path(folder.path() / "file") {}
  void write(const std::string& text) const { std::ofstream(path, std::ios::binary) << text; }
  ScratchFolder folder;
  fs::path path;
};

TEST_F(FileTest, Ranges) {
  write("0123456789");
  const Descriptor file(::open(path.c_str(), O_RDONLY));
  struct Case {
    const char* range;
    unsigned status;
    const char *bytes, *told;
  };
  for (const auto& [range, status, bytes, told] : {Case{"", 200, "0123456789", ""},
                                                   {"bytes=2-4", 206, "234", "bytes 2-4/10"},
                                                   {"bytes=7-", 206, "789", "bytes 7-9/10"},
                                                   {"bytes=-3", 206, "789", "bytes 7-9/10"},
                                                   {"bytes=-99", 206, "0123456789", "bytes 0-9/10"},
                                                   {"bytes=9-99", 206, "9", "bytes 9-9/10"},
                                                   {"bytes=10-", 416, "", "bytes */10"},
                                                   {"bytes=-0", 416, "", "bytes */10"},
                                                   {"bytes=4-2", 200, "0123456789", ""},
                                                   {"bytes=0-1,3-4", 200, "0123456789", ""},
                                                   {"bytes=18446744073709551616-", 200, "0123456789", ""},
                                                   {"bytes=-", 200, "0123456789", ""},
                                                   {"lines=1-2", 200, "0123456789", ""}}) {
    FileAnswer answer(file.get(), range);
    EXPECT_EQ(answer.status(), status) << range;
    EXPECT_EQ(answer.range(), told) << range;
    std::string read;
    for (auto piece = answer.next(3); !piece.empty(); piece = answer.next(3)) read += piece;
    EXPECT_EQ(read, bytes) << range;
    EXPECT_TRUE(answer.is_whole());
  }
}

TEST_F(FileTest, LinesOfAFileThatGrowsAndIsReplaced) {
  LineFollower lines(path);
  EXPECT_TRUE(lines.next().empty());
  write("a\nb");
  EXPECT_EQ(lines.next(), std::vector<std::string>{"a"});
  std::ofstream(path, std::ios::app) << "c\nd\n";
  EXPECT_EQ(lines.next(), (std::vector<std::string>{"bc", "d"}));
  EXPECT_TRUE(lines.next().empty());
  std::ofstream(path.string() + ".new") << "a\nbc\nd\ne\n";  // longer than what was read, and another file
  fs::rename(path.string() + ".new", path);
  EXPECT_EQ(lines.next(), (std::vector<std::string>{"a", "bc", "d", "e"}));
}

TEST_F(FileTest, RowsThatARunDoesAgainComeOnce) {
  fs::create_directories(folder.path() / "run");
  const auto file = folder.path() / "run/metrics.jsonl";
  const auto row = [](const char* kind, int step) {
    return "{\"step\":" + std::to_string(step) + ",\"kind\":\"" + kind + "\"}\n";
  };
  MetricsFollower metrics(folder.path() / "run", {{"train", 1}});
  std::ofstream(file) << row("eval", 0) << row("train", 1) << row("train", 2) << "{\"step\": 3";
  auto rows = metrics.next();
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[0].at("kind"), "eval");
  EXPECT_EQ(rows[1].at("step"), 2);
  std::ofstream(file) << row("eval", 0) << row("train", 1);  // a run that goes on from its checkpoint
  EXPECT_TRUE(metrics.next().empty());
  std::ofstream(file, std::ios::app) << row("train", 2) << row("train", 3);
  rows = metrics.next();
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0].at("step"), 3);
}

}  // namespace
}  // namespace thalweg::service
