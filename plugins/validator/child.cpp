#include "plugins/validator/child.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <optional>

#include "engine/core/json.h"
#include "plugins/validator/process_state.h"
#include "rewards/text.h"

namespace thalweg::validator {
namespace {

const std::string kNeeds = "needs ";  // begins the detail of a clause that was not tried

void write_line(int descriptor, const Json& line) {
  // Texts of plugins are cleaned, and cut, before they get here.
  const auto text = line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  const char* bytes = text.data();
  for (size_t left = text.size(); left > 0;) {
    const ssize_t written = ::write(descriptor, bytes, left);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) ::_exit(125);
    bytes += written;
    left -= static_cast<size_t>(written);
  }
}

struct Verdict {
  Outcome outcome = Outcome::ok;
  std::string detail;
};

Verdict verdict_of(Subject& subject, const Clause& clause) {
  try {
    clause.check(subject);
    return {};
  } catch (const Skip& skip) {
    return {Outcome::skipped, skip.what()};
  } catch (const Breach& breach) {
    return {Outcome::failed, breach.what()};
  } catch (const std::exception& e) {
    return {Outcome::failed, std::string("the check itself failed: ") + e.what()};
  }
}

const char* word(Outcome outcome) {
  return outcome == Outcome::ok ? "ok" : outcome == Outcome::failed ? "failed" : "skipped";
}

/// Why a clause says nothing now, when one that it needs is broken or was not tried.
std::optional<std::string> unmet(const Clause& clause, const std::vector<ClauseResult>& results) {
  if (clause.needs == nullptr) return std::nullopt;
  for (const auto& result : results) {
    const bool never_tried = result.outcome == Outcome::skipped && result.detail.rfind(kNeeds, 0) == 0;
    if (result.clause == clause.needs && (result.outcome == Outcome::failed || never_tried))
      return kNeeds + result.clause;
  }
  return std::nullopt;
}

}  // namespace

std::string taken_output(int output) {
  struct stat file {};
  if (::fstat(output, &file) != 0 || file.st_size == 0) return "";
  std::string text(static_cast<size_t>(std::min<off_t>(file.st_size, 60)), '\0');
  const ssize_t got = ::pread(output, text.data(), text.size(), 0);
  text.resize(got > 0 ? static_cast<size_t>(got) : 0);
  return ::ftruncate(output, 0) == 0 ? '"' + clean_text(text.c_str()) + '"' : "";
}

void try_clauses(ChildTask task, int out, int output) {
  const auto& clauses = task.clauses;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  const int null = ::open("/dev/null", O_RDONLY);
  ::dup2(null, STDIN_FILENO);
  ::dup2(output, STDOUT_FILENO);
  Subject subject(task.file, task.options);
  subject.reward_id = task.results.front().reward;
  subject.trying = [out](const std::string& what) {
    write_line(out, {{"trying", clean_text(what.c_str())}});
  };
  for (size_t i = task.first; i < clauses.size(); ++i) {
    write_line(out, {{"begin", i}});
    Verdict verdict;
    if (const auto reason = unmet(clauses[i], task.results)) {
      verdict = {Outcome::skipped, *reason};
    } else {
      const auto before = ProcessState::now();
      verdict = verdict_of(subject, clauses[i]);
      for (const auto& [clause, text] : before.changes()) subject.observations.add(clause, text);
    }
    std::fflush(stdout);
    if (const auto printed = taken_output(output); !printed.empty())
      subject.observations.add("manners.standard-output", printed);
    task.results[i].outcome = verdict.outcome;
    task.results[i].detail = verdict.detail;
    Json line = {
        {"end", i}, {"outcome", word(verdict.outcome)}, {"detail", clean_text(verdict.detail.c_str())}};
    line["observed"] = Json::array();
    for (const auto& [clause, text] : subject.observations.take())
      if (line["observed"].size() < 16) line["observed"].push_back({clause, clean_text(text.c_str(), 512)});
    if (verdict.outcome == Outcome::ok && std::strcmp(clauses[i].id, "factory.rewards") == 0)
      line["rewards"] = reward_ids(subject);
    write_line(out, line);
  }
  ::_exit(0);
}

}  // namespace thalweg::validator
