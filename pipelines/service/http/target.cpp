#include "pipelines/service/http/target.h"

#include <algorithm>

#include "engine/core/text.h"
#include "pipelines/service/http/message.h"

namespace thalweg::service {
namespace {

[[noreturn]] void refuse(const std::string& why) {
  throw ApiError(400, "bad_target", "the path that is asked for " + why);
}

int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string decoded(std::string_view text, bool plus_is_blank) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && plus_is_blank) {
      out += ' ';
    } else if (text[i] != '%') {
      out += text[i];
    } else {
      const int high = i + 2 < text.size() ? digit(text[i + 1]) : -1;
      const int low = i + 2 < text.size() ? digit(text[i + 2]) : -1;
      if (high < 0 || low < 0) refuse("has a percent sign without two digits");
      out += static_cast<char>(high * 16 + low);
      i += 2;
    }
  }
  if (out.find('\0') != std::string::npos) refuse("holds a NUL");
  if (!is_valid_utf8(out)) refuse("is not valid UTF-8");
  return out;
}

/// Whatever lies behind a path: nothing of it may lead up.
void require_no_dots(const std::string& path) {
  for (size_t begin = 1; begin <= path.size();) {
    const auto end = std::min(path.find('/', begin), path.size());
    const auto piece = std::string_view(path).substr(begin, end - begin);
    if (piece == "." || piece == "..") refuse("has a piece \"" + std::string(piece) + "\"");
    begin = end + 1;
  }
}

}  // namespace

Target parse_target(std::string_view target) {
  if (target.empty() || target[0] != '/') refuse("must begin with a slash");
  Target parsed;
  const auto question = target.find('?');
  parsed.path = decoded(target.substr(0, question), false);
  require_no_dots(parsed.path);
  if (question == std::string_view::npos) return parsed;
  for (auto rest = target.substr(question + 1); !rest.empty();) {
    const auto end = std::min(rest.find('&'), rest.size());
    const auto pair = rest.substr(0, end);
    const auto equals = std::min(pair.find('='), pair.size());
    auto name = decoded(pair.substr(0, equals), true);
    auto value = equals < pair.size() ? decoded(pair.substr(equals + 1), true) : "";
    if (!name.empty() && !parsed.query.emplace(std::move(name), std::move(value)).second)
      refuse("asks for one thing twice");
    rest = end < rest.size() ? rest.substr(end + 1) : std::string_view();
  }
  return parsed;
}

}  // namespace thalweg::service
