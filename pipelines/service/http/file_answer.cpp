#include "pipelines/service/http/file_answer.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <optional>

namespace thalweg::service {
namespace {

std::optional<uint64_t> number(std::string_view text) {
  uint64_t value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

struct Span {
  uint64_t first, last;
};

/// "bytes=5-9", "bytes=5-", "bytes=-5"; `first` may lie beyond the end.
std::optional<Span> span_of(std::string_view text, uint64_t size) {
  constexpr std::string_view kUnit = "bytes=";
  if (!text.starts_with(kUnit) || text.find(',') != std::string_view::npos) return std::nullopt;
  text.remove_prefix(kUnit.size());
  const auto dash = text.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const auto first = number(text.substr(0, dash)), last = number(text.substr(dash + 1));
  if (dash == 0) {
    if (!last) return std::nullopt;
    return Span{*last == 0 ? size : size - std::min(*last, size), size == 0 ? 0 : size - 1};
  }
  if (!first || (dash + 1 < text.size() && (!last || *last < *first))) return std::nullopt;
  return Span{*first, std::min(last.value_or(UINT64_MAX), size == 0 ? 0 : size - 1)};
}

}  // namespace

FileAnswer::FileAnswer(int descriptor, const std::string& range) : descriptor_(descriptor) {
  struct stat status {};
  const uint64_t size = ::fstat(descriptor, &status) == 0 ? static_cast<uint64_t>(status.st_size) : 0;
  length_ = size;
  if (const auto span = span_of(range, size)) {
    if (span->first >= size) {
      status_ = 416;
      length_ = 0;
      range_ = "bytes */" + std::to_string(size);
    } else {
      status_ = 206;
      at_ = span->first;
      length_ = span->last - span->first + 1;
      range_ = "bytes " + std::to_string(span->first) + "-" + std::to_string(span->last) + "/" +
               std::to_string(size);
    }
  }
  left_ = length_;
}

std::string FileAnswer::next(size_t most) {
  std::string bytes(std::min<uint64_t>(most, left_), '\0');
  const auto got = ::pread(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(at_));
  bytes.resize(got > 0 ? static_cast<size_t>(got) : 0);
  at_ += bytes.size();
  left_ -= bytes.size();
  return bytes;
}

}  // namespace thalweg::service
