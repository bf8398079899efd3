#include "pipelines/service/jobs/follower.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>

#include "engine/core/descriptor.h"
#include "engine/core/error.h"

namespace thalweg::service {

std::vector<std::string> LineFollower::next() {
  const Descriptor file(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat status {};
  if (file.get() < 0 || ::fstat(file.get(), &status) != 0) return {};
  if (status.st_ino != inode_ || static_cast<uint64_t>(status.st_size) < at_) at_ = 0;
  inode_ = status.st_ino;
  std::string text(static_cast<uint64_t>(status.st_size) - at_, '\0');
  const auto got = ::pread(file.get(), text.data(), text.size(), static_cast<off_t>(at_));
  text.resize(got > 0 ? static_cast<size_t>(got) : 0);
  std::vector<std::string> lines;
  size_t begin = 0;
  for (auto end = text.find('\n'); end != std::string::npos; end = text.find('\n', begin)) {
    lines.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  at_ += begin;  // what has no line end yet is read again
  return lines;
}

std::vector<Json> MetricsFollower::next() {
  std::vector<Json> rows;
  for (const auto& line : lines_.next()) {
    Json row;
    try {
      row = parse_json(line, "metrics.jsonl");
    } catch (const Error&) {  // a full disk cut it short
      continue;
    }
    auto& last = seen_.try_emplace(row.value("kind", ""), -1).first->second;
    const auto step = row.value("step", int64_t{0});
    if (step <= last) continue;
    last = step;
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace thalweg::service
