// Readers of files from outside, each fed with bytes in memory. An input is read, or refused with an Error;
// whatever else happens (another exception, a broken promise, a sanitizer's report) is a defect. libFuzzer
// drives them (make fuzz), and replay_test.cpp on every build.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/core/error.h"

namespace thalweg::fuzz {

void safetensors(std::string_view input);
/// A job, and after a line "=== set" one --set a line.
void job(std::string_view input);
/// Files of a tokenizer's folder, each after a line "=== NAME", and a text after "=== text".
void tokenizer(std::string_view input);
/// Also with every checksum put right, which no fuzzer finds by itself.
void png(std::string_view input);
/// What decode_picture() takes for JPEG, or PNG.
void jpeg(std::string_view input);
/// A component's config.json after one character that picks the component.
void config(std::string_view input);
/// A video file, as thalweg-video decodes it.
void video(std::string_view input);

/// What a client sends to the service, whole.
void http(std::string_view input);

inline void require(bool holds, const char* promise) {
  if (holds) return;
  std::fprintf(stderr, "broken promise: %s\n", promise);
  std::abort();
}

/// Runs `read`; an Error must be fit to be shown. Returns whether there was none.
template <typename Read>
bool accepted(Read read) {
  try {
    read();
    return true;
  } catch (const Error& error) {
    const std::string text = error.what();
    require(!error.message().empty(), "an error says something");
    require(text.size() <= 3100 && printable(text, text.size()) == text, "an error is one printable line");
    return false;
  }
}

/// The parts of `input` before and after lines "=== NAME", the first under the name "".
inline std::vector<std::pair<std::string, std::string>> sections(std::string_view input) {
  std::vector<std::pair<std::string, std::string>> found = {{"", ""}};
  while (!input.empty()) {
    const auto end = input.find('\n');
    const auto line = input.substr(0, end);
    if (line.starts_with("=== "))
      found.emplace_back(line.substr(4), "");
    else
      found.back().second += std::string(line) + (end == std::string_view::npos ? "" : "\n");
    if (end == std::string_view::npos) break;
    input.remove_prefix(end + 1);
  }
  return found;
}

}  // namespace thalweg::fuzz
