// What calls into libraries change in the process, and the list of those that run.
#include "rewards/kept_state.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cfenv>
#include <clocale>
#include <filesystem>

#include "rewards/guard.h"
#include "rewards/running_calls.h"

namespace thalweg::testing {
namespace {

using Texts = std::vector<std::string>;

CallEnd call(const std::function<void()>& body) {
  return call_library("film", "score", body);
}

TEST(KeptState, AGoodCallChangesNothing) {
  EXPECT_EQ(call([] { std::feraiseexcept(FE_INEXACT | FE_UNDERFLOW); }).put_back, Texts{});
}

TEST(KeptState, EachThreadKeepsItsFloatingPointMode) {
  for (const int mode : {FE_DOWNWARD, FE_UPWARD, FE_TOWARDZERO}) {
    EXPECT_EQ(call([&] { std::fesetround(mode); }).put_back, Texts{"the rounding, denormal or trap mode"});
    EXPECT_EQ(std::fegetround(), FE_TONEAREST);
  }
  const auto thrown = call([]() {
    std::fesetround(FE_UPWARD);
    throw 1;
  });
  EXPECT_EQ(thrown.wrong, "let an exception out");
  EXPECT_EQ(std::fegetround(), FE_TONEAREST);
}

void note_nothing(int) {}

/// What the program keeps, in a process of its own: 0, or the number of the first thing that is wrong.
int keeps_the_process() {
  const auto folder = std::filesystem::current_path();
  const mode_t mask = ::umask(022);
  ::signal(SIGTERM, note_nothing);
  ::signal(SIGUSR1, note_nothing);
  keep_process_state();
  keep_signal_handler(SIGTERM);
  const auto changed = call([] {
    if (::chdir("/") != 0) ::_exit(99);
    ::umask(0777);
    std::setlocale(LC_ALL, "C.UTF-8");
    ::signal(SIGTERM, SIG_IGN);
    ::signal(SIGUSR1, SIG_IGN);
    ::close(0);
    ::dup2(::open("/dev/zero", O_WRONLY), 2);
  });
  const Texts expected = {"the handler of SIGTERM", "the working folder", "standard input",
                          "standard error",         "the umask",          "the locale"};
  if (changed.put_back != expected) return 1;
  if (!call([] {}).put_back.empty()) return 2;
  if (std::filesystem::current_path() != folder || ::umask(mask) != 022) return 3;
  if (::signal(SIGTERM, SIG_DFL) != note_nothing || ::signal(SIGUSR1, SIG_DFL) != SIG_IGN) return 4;
  if (std::string(std::setlocale(LC_NUMERIC, nullptr)) != "C") return 5;
  if (std::string(std::setlocale(LC_CTYPE, nullptr)) != "C.UTF-8") return 6;  // an interpreter lives by it
  return ::fcntl(0, F_GETFD) < 0 ? 7 : 0;
}

TEST(KeptStateDeathTest, TheProgramKeepsWhatItsProcessShares) {
  ::testing::GTEST_FLAG(death_test_style) = "fast";
  EXPECT_EXIT(std::_Exit(keeps_the_process()), ::testing::ExitedWithCode(0), "");
}

TEST(RunningCalls, AreThoseThatHaveNotReturned) {
  EXPECT_EQ(described(running_calls()), "");
  call([] {
    EXPECT_EQ(described(running_calls()), "the reward \"film\" was in score");
    call_library("frame", "vjp", [] {
      EXPECT_EQ(described(running_calls()),
                "the reward \"film\" was in score, the reward \"frame\" was in vjp");
    });
    EXPECT_EQ(running_calls().size(), 1U);
  });
  EXPECT_EQ(described(running_calls()), "");
}

TEST(RunningCalls, OfAProcessThatDiedCanBeSeen) {
  share_running_calls();
  const pid_t child = ::fork();
  if (child == 0) {
    call_library(std::string(100, 'a') + "\n", "activate", [] { ::_exit(0); });
    ::_exit(1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  const auto calls = running_calls();
  ASSERT_EQ(calls.size(), 1U);
  EXPECT_EQ(calls[0].plugin, std::string(63, 'a'));
  EXPECT_EQ(calls[0].function, "activate");
}

}  // namespace
}  // namespace thalweg::testing
