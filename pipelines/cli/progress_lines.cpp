#include "pipelines/cli/progress_lines.h"

#include <unistd.h>

#include <cerrno>

namespace thalweg::cli {
namespace {

constexpr std::chrono::milliseconds kPause{200};

const char* name_of(JobEnd::Kind kind) {
  switch (kind) {
    case JobEnd::Kind::succeeded:
      return "succeeded";
    case JobEnd::Kind::stopped:
      return "stopped";
    case JobEnd::Kind::wrong_job:
      return "wrong_job";
    case JobEnd::Kind::failed:
      break;
  }
  return "failed";
}

}  // namespace

/// Whole lines: one call each. Who reads may be gone; the run goes on.
void ProgressLines::write(const Json& json) const {
  const auto text = json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  for (size_t at = 0; at < text.size();) {
    const auto written = ::write(descriptor_, text.data() + at, text.size() - at);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;
    at += static_cast<size_t>(written);
  }
}

void ProgressLines::started(const std::string& output) const {
  write({{"type", "started"}, {"output", output}});
}

void ProgressLines::update(const std::string& phase, int64_t done, int64_t total,
                           const Observer::Values& values) {
  const auto now = std::chrono::steady_clock::now();
  if (phase == phase_ && done != total && now < next_) return;
  phase_ = phase;
  next_ = now + kPause;
  Json named = Json::object();
  for (const auto& [name, value] : values) named[name] = value;
  write({{"type", "progress"}, {"phase", phase}, {"done", done}, {"total", total}, {"values", named}});
}

void ProgressLines::message(const std::string& line) const {
  write({{"type", "message"}, {"text", line}});
}

void ProgressLines::end(const JobEnd& end) const {
  write({{"type", "end"}, {"kind", name_of(end.kind)}, {"place", end.place}, {"message", end.message}});
}

}  // namespace thalweg::cli
