// The parent: a child process tries one clause after the other and says what it saw; when it dies or hangs,
// the clause is named and another child goes on with the next.
#include "plugins/validator/validator.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <map>
#include <utility>

#include "engine/core/descriptor.h"
#include "engine/core/error.h"
#include "engine/core/json.h"
#include "plugins/validator/child.h"
#include "plugins/validator/clauses.h"

namespace thalweg::validator {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kMostLine = 1 << 16;

/// All of one run: what is known so far, and what has been observed.
class Trial {
 public:
  Trial(const std::filesystem::path& file, const Options& options, const std::vector<Clause>& clauses,
        const std::string& reward, std::map<std::string, std::vector<std::string>>& observed)
      : file_(file), options_(options), clauses_(clauses), observed_(observed) {
    for (const auto& clause : clauses)
      results_.push_back({reward, clause.id, clause.header, clause.rule, Outcome::skipped, ""});
  }

  void run() {
    for (size_t next = 0; next < clauses_.size();) next = run_child(next);
  }
  const std::vector<ClauseResult>& results() const { return results_; }
  const std::vector<std::string>& rewards() const { return rewards_; }

 private:
  /// Runs clauses from `first` on; returns the one to go on with.
  size_t run_child(size_t first);
  void read_line(const std::string& line, size_t& current);
  void note_end(int status, bool timed_out, size_t current);

  const std::filesystem::path& file_;
  const Options& options_;
  const std::vector<Clause>& clauses_;
  std::map<std::string, std::vector<std::string>>& observed_;
  std::vector<ClauseResult> results_;
  std::vector<std::string> rewards_;
  std::string trying_;  // what the child said last that it was about to do
};

void Trial::read_line(const std::string& line, size_t& current) {
  const auto json = Json::parse(line, nullptr, false);
  if (!json.is_object()) return;
  if (json.contains("trying")) {
    trying_ = json.at("trying").get<std::string>();
    return;
  }
  trying_.clear();
  if (json.contains("begin")) {
    current = json.at("begin").get<size_t>();
    return;
  }
  auto& result = results_.at(json.at("end").get<size_t>());
  const auto outcome = json.at("outcome").get<std::string>();
  result.outcome = outcome == "ok" ? Outcome::ok : outcome == "failed" ? Outcome::failed : Outcome::skipped;
  result.detail = json.at("detail").get<std::string>();
  for (const auto& seen : json.at("observed"))
    observed_[seen.at(0).get<std::string>()].push_back(result.clause + ": " + seen.at(1).get<std::string>());
  if (json.contains("rewards")) rewards_ = json.at("rewards").get<std::vector<std::string>>();
  current = json.at("end").get<size_t>() + 1;
}

void Trial::note_end(int status, bool timed_out, size_t current) {
  if (current >= results_.size()) return;
  auto& result = results_[current];
  result.outcome = Outcome::failed;
  std::string clause;
  if (timed_out) {
    clause = "manners.returns";
    result.detail = "did not return in " + Json(options_.timeout_s).dump() + " s";
  } else if (WIFSIGNALED(status)) {
    clause = "manners.no-crash";
    const char* name = ::sigabbrev_np(WTERMSIG(status));
    result.detail = "the process died of SIG" + std::string(name == nullptr ? "?" : name);
  } else {
    clause = "manners.no-exit";
    result.detail = "the process was ended with exit code " + std::to_string(WEXITSTATUS(status));
  }
  if (!trying_.empty()) result.detail += ", " + std::exchange(trying_, "");
  observed_[clause].push_back(result.clause + ": " + result.detail);
}

size_t Trial::run_child(size_t first) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw Error("", "the system gives no pipe");
  Descriptor in(ends[0]), out(ends[1]), output(::memfd_create("standard output", MFD_CLOEXEC));
  if (output.get() < 0 || ::fcntl(output.get(), F_SETFL, O_APPEND) != 0)
    throw Error("", "the system gives no file in memory");
  std::fflush(nullptr);  // else a child that calls exit() would write our buffers too
  const pid_t pid = ::fork();
  if (pid < 0) throw Error("", "the system gives no child process");
  if (pid == 0) {
    in.reset();
    try_clauses({file_, options_, clauses_, results_, first}, out.get(), output.get());
  }
  out.reset();
  size_t current = first;
  bool timed_out = false;
  std::string pending;
  auto deadline = Clock::now() + std::chrono::duration<double>(options_.timeout_s);
  while (true) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    pollfd waiting{in.get(), POLLIN, 0};
    const int ready = left <= 0 ? 0 : ::poll(&waiting, 1, static_cast<int>(std::min<int64_t>(left, 1000000)));
    if (ready < 0 && errno == EINTR) continue;
    if (ready == 0) {
      timed_out = left <= 0;
      if (timed_out) break;
      continue;
    }
    char bytes[4096];
    const ssize_t got = ::read(in.get(), bytes, sizeof(bytes));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    pending.append(bytes, static_cast<size_t>(got));
    if (pending.size() > kMostLine) break;
    for (size_t end; (end = pending.find('\n')) != std::string::npos; pending.erase(0, end + 1)) {
      read_line(pending.substr(0, end), current);
      deadline = Clock::now() + std::chrono::duration<double>(options_.timeout_s);
    }
  }
  if (timed_out) ::kill(pid, SIGKILL);
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  const auto printed = taken_output(output.get());
  if (!printed.empty() && current < results_.size())
    observed_["manners.standard-output"].push_back(results_[current].clause + ": " + printed);
  note_end(status, timed_out, current);
  return std::max(current, first) + 1;
}

void append(std::vector<ClauseResult>& all, const std::vector<ClauseResult>& more) {
  all.insert(all.end(), more.begin(), more.end());
}

bool all_kept(const std::vector<ClauseResult>& results, const std::string& up_to) {
  for (const auto& result : results) {
    if (result.clause == up_to) return result.outcome == Outcome::ok;
  }
  return false;
}

std::vector<ClauseResult> watched(const std::map<std::string, std::vector<std::string>>& observed,
                                  bool loaded) {
  std::vector<ClauseResult> results;
  for (const auto& clause : watched_clauses()) {
    ClauseResult result{"", clause.id, clause.header, clause.rule, Outcome::ok, ""};
    if (const auto seen = observed.find(clause.id); seen != observed.end()) {
      result.outcome = Outcome::failed;
      result.detail = seen->second.front();
      if (seen->second.size() > 1)
        result.detail += " (and " + std::to_string(seen->second.size() - 1) + " times more)";
    } else if (!loaded) {
      result = {"", clause.id, clause.header, clause.rule, Outcome::skipped, "the library was never run"};
    }
    results.push_back(std::move(result));
  }
  return results;
}

}  // namespace

std::vector<ClauseResult> validate(const std::filesystem::path& file, const Options& options) {
  if (options.prompts.empty()) throw Error("", "there are no prompts to try the plugin with");
  std::map<std::string, std::vector<std::string>> observed;
  std::error_code failure;
  auto path = std::filesystem::canonical(file, failure);
  if (failure) path = file;
  Trial library(path, options, library_clauses(), "", observed);
  library.run();
  auto results = library.results();
  const auto& ids = library.rewards();
  if (!options.id.empty() && !ids.empty() && std::find(ids.begin(), ids.end(), options.id) == ids.end())
    throw Error(file.string(), "holds no reward \"" + options.id + "\"");
  for (const auto& id : ids) {
    if (!options.id.empty() && id != options.id) continue;
    const auto clauses = reward_clauses();
    Trial reward(path, options, clauses, id, observed);
    reward.run();
    append(results, reward.results());
  }
  if (all_kept(results, "factory.rewards")) {
    Trial last(path, options, last_clauses(), "", observed);
    last.run();
    append(results, last.results());
  }
  append(results, watched(observed, !observed.empty() || all_kept(results, "file.loads")));
  return results;
}

}  // namespace thalweg::validator
