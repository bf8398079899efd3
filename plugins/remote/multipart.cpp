#include "multipart.h"

#include <algorithm>
#include <stdexcept>

#include "ascii.h"

namespace remote {
namespace {

constexpr std::string_view kLine = "\r\n";
constexpr size_t kMaxBoundary = 70, kMaxHead = 4096, kMaxParts = 4096;

[[noreturn]] void refuse(const char* why) {
  throw std::runtime_error(std::string("the reply is no multipart/form-data: ") + why);
}

/// The value of ; key=value or ; key="value" in a header; "" where there is none.
std::string_view parameter(std::string_view header, std::string_view key) {
  const auto folded = ascii_lower(header);
  for (size_t at = 0; (at = folded.find(';', at)) != std::string::npos;) {
    at = folded.find_first_not_of(" \t", at + 1);
    if (at == std::string::npos) break;
    if (folded.compare(at, key.size(), key) != 0 || folded.compare(at + key.size(), 1, "=") != 0) continue;
    auto value = header.substr(at + key.size() + 1);
    if (!value.empty() && value.front() == '"') {
      value.remove_prefix(1);
      const auto end = value.find('"');
      return end == std::string_view::npos ? "" : value.substr(0, end);
    }
    return value.substr(0, value.find_first_of("; \t"));
  }
  return "";
}

std::string_view name_of(std::string_view head) {
  while (!head.empty()) {
    const auto end = std::min(head.find(kLine), head.size());
    const auto line = head.substr(0, end);
    head.remove_prefix(std::min(end + kLine.size(), head.size()));
    constexpr std::string_view kHeader = "content-disposition:";
    if (ascii_lower(line.substr(0, kHeader.size())) == kHeader) return parameter(line, "name");
  }
  return "";
}

}  // namespace

std::map<std::string, std::string_view> read_multipart(std::string_view content_type, std::string_view body) {
  if (ascii_lower(content_type.substr(0, 19)) != "multipart/form-data") refuse("its Content-Type is another");
  const auto boundary = parameter(content_type, "boundary");
  if (boundary.empty() || boundary.size() > kMaxBoundary) refuse("it names no boundary, or a long one");
  const std::string opening = "--" + std::string(boundary), closing = "\r\n" + opening;
  if (body.substr(0, opening.size()) != opening) refuse("it does not begin with its boundary");
  body.remove_prefix(opening.size());
  std::map<std::string, std::string_view> parts;
  while (body.substr(0, 2) != "--") {
    if (body.substr(0, 2) != kLine) refuse("a boundary is followed by something else than a line's end");
    body.remove_prefix(2);
    const auto head = body.substr(0, kMaxHead).find("\r\n\r\n");
    if (head == std::string_view::npos) refuse("a part has no headers, or long ones");
    const auto name = name_of(body.substr(0, head));
    body.remove_prefix(head + 4);
    const auto end = body.find(closing);
    if (end == std::string_view::npos) refuse("it is cut short");
    if (name.empty() || parts.size() >= kMaxParts) refuse("a part has no name, or there are very many");
    if (!parts.emplace(name, body.substr(0, end)).second) refuse("two parts have the same name");
    body.remove_prefix(end + closing.size());
  }
  return parts;
}

}  // namespace remote
