// The program's own files are in no library, so this test compiles the one it checks.
#include "pipelines/cli/progress.cpp"

#include <gtest/gtest.h>

#include <cstdio>

namespace thalweg {
namespace {

using std::chrono::milliseconds;

// A Progress that writes to a temporary file, with a clock of our own.
class ProgressTest : public testing::Test {
 protected:
  void SetUp() override {
    file_ = std::tmpfile();
    ASSERT_NE(file_, nullptr);
    output_.descriptor = ::fileno(file_);
  }
  void TearDown() override { std::fclose(file_); }

  Progress make() {
    return Progress(output_, [this] { return nanoseconds(now_); });
  }
  std::string written() const {
    std::string text(1 << 20, '\0');
    std::rewind(file_);
    text.resize(std::fread(text.data(), 1, text.size(), file_));
    return text;
  }

  std::FILE* file_ = nullptr;
  Progress::Output output_;
  milliseconds now_{1000};
};

// The last redrawn line of a terminal.
std::string last_line(const std::string& text) {
  const size_t at = text.rfind("\x1b[2K");
  return at == std::string::npos ? text : text.substr(at + 4);
}

TEST_F(ProgressTest, WritesPlainLinesIntoAPipe) {
  {
    Progress progress = make();
    progress.update("train", 0, 4, {{"reward", 0.3125}});
    for (int64_t done = 1; done <= 4; ++done) {
      now_ += milliseconds(3000);
      progress.update("train", done, 4, {{"reward", 0.25 * static_cast<double>(done)}});
    }
    progress.message("report: runs/demo/report.html");
  }
  EXPECT_EQ(written(),
            "train 0/4  reward 0.3125\n"
            "train 1/4  reward 0.25  3 s/it  ETA 0:09\n"
            "train 2/4  reward 0.5  3 s/it  ETA 0:06\n"
            "train 3/4  reward 0.75  3 s/it  ETA 0:03\n"
            "train 4/4  reward 1  3 s/it\n"
            "report: runs/demo/report.html\n");
}

TEST_F(ProgressTest, HoldsBackLinesOfAPipe) {
  {
    Progress progress = make();
    for (int64_t done = 0; done <= 1000; ++done, now_ += milliseconds(10))
      progress.update("rollout", done, 1000);
  }
  const std::string text = written();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 6);  // the first, one each 2 s, the last
  EXPECT_NE(text.find("rollout 1000/1000  100 it/s\n"), std::string::npos) << text;
}

TEST_F(ProgressTest, ShowsWhatWasHeldBackWhenItEnds) {
  {
    Progress progress = make();
    progress.update("train", 0, 9);
    now_ += milliseconds(10);
    progress.update("train", 1, 9);
  }
  EXPECT_NE(written().find("train 1/9"), std::string::npos);
}

TEST_F(ProgressTest, RedrawsOneLineOfATerminal) {
  output_.terminal = true;
  output_.columns = 60;
  Progress progress = make();
  progress.update("train", 0, 10);
  for (int i = 0; i < 50; ++i, now_ += milliseconds(10)) progress.update("train", 5, 10, {{"reward", 0.5}});
  const std::string text = written();
  EXPECT_EQ(text.find('\n'), std::string::npos);
  size_t redraws = 0;
  for (size_t at = 0; (at = text.find('\r', at)) != std::string::npos; ++at) ++redraws;
  EXPECT_LE(redraws, 6u);  // ten a second
  EXPECT_GE(redraws, 5u);
  EXPECT_EQ(last_line(text).find("train [#"), 0u) << text;
  progress.finish();
  EXPECT_EQ(written().back(), '\n');
}

TEST_F(ProgressTest, FitsEveryWidth) {
  output_.terminal = true;
  for (bool utf8 : {false, true})
    for (int64_t columns = 10; columns <= 200; ++columns) {
      output_.utf8 = utf8;
      output_.columns = columns;
      ASSERT_EQ(::ftruncate(output_.descriptor, 0), 0);
      Progress progress = make();
      for (int64_t done : {20, 23}) {
        now_ += milliseconds(1820);
        progress.update("train", done, 60, {{"reward", 0.5125}, {"kl", 1.25e-5}, {"clipfrac", 0.1}});
      }
      const std::string line = last_line(written());
      ASSERT_LT(width_of(line), columns) << line;
      ASSERT_EQ(line.find("train"), 0u);
      if (columns >= 14) {
        ASSERT_NE(line.find("23/60"), std::string::npos) << line;
      }
      if (columns >= 110) {
        ASSERT_NE(line.find("clipfrac 0.1"), std::string::npos) << line;
      }
    }
}

TEST_F(ProgressTest, FillsTheBarInProportion) {
  output_.terminal = output_.utf8 = true;
  output_.columns = 80;
  Progress progress = make();
  for (const auto& [done, full] :
       std::vector<std::pair<int64_t, int>>{{0, 0}, {50, 9}, {100, 19}, {250, 19}}) {
    now_ += milliseconds(500);
    progress.update("train", done, 100);
    const std::string line = last_line(written());
    int blocks = 0;
    for (size_t at = 0; (at = line.find("\u2588", at)) != std::string::npos; at += 3) ++blocks;
    if (done <= 100) {
      EXPECT_NEAR(blocks, full, 1) << line;
    }
    EXPECT_LE(blocks, full) << line;
  }
}

TEST_F(ProgressTest, KeepsMessagesAboveTheBar) {
  output_.terminal = true;
  output_.columns = 60;
  Progress progress = make();
  progress.update("train", 1, 10);
  progress.message("a reward was masked\x1b[31m");
  EXPECT_NE(written().find("\r\x1b[2Ka reward was masked [31m\n\r\x1b[2Ktrain"), std::string::npos)
      << written();
}

TEST_F(ProgressTest, AveragesSpeedByPhase) {
  Progress progress = make();
  for (int64_t round = 0; round < 6; ++round) {  // two phases take turns; each knows its own pace
    progress.update("rollout", round, 100);
    now_ += milliseconds(4000);
    progress.update("train", round, 0);
    now_ += milliseconds(1000);
  }
  now_ += milliseconds(0);
  progress.update("rollout", 6, 100);
  progress.finish();
  EXPECT_NE(written().find("rollout 6/100  5 s/it  ETA 7:50\n"), std::string::npos) << written();
  EXPECT_NE(written().find("train 5  5 s/it\n"), std::string::npos) << written();
}

TEST_F(ProgressTest, DoesNotCountAPhaseThatBeginsAgain) {
  Progress progress = make();
  for (int round = 0; round < 3; ++round) {
    for (int64_t done = 0; done <= 4; ++done, now_ += milliseconds(500)) progress.update("evaluate", done, 4);
    now_ += std::chrono::hours(1);
  }
  EXPECT_NE(written().find("evaluate 4/4  2 it/s\n"), std::string::npos) << written();
  EXPECT_EQ(written().find("s/it"), std::string::npos) << written();
}

TEST(Duration, ReadsAsAClock) {
  EXPECT_EQ(duration(7), "0:07");
  EXPECT_EQ(duration(754), "12:34");
  EXPECT_EQ(duration(18062), "5:01:02");
  EXPECT_EQ(duration(3.2 * 86400), "3d 4h");
}

}  // namespace
}  // namespace thalweg
