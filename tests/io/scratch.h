// A folder of a test's own, removed when the test ends.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <functional>
#include <string>

#include "engine/core/error.h"

namespace thalweg {

class Scratch {
 public:
  Scratch() {
    std::string pattern = (std::filesystem::temp_directory_path() / "thalweg-test-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary folder");
    folder_ = pattern;
  }
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  const std::filesystem::path& folder() const { return folder_; }
  std::filesystem::path operator/(const std::string& name) const { return folder_ / name; }

 private:
  std::filesystem::path folder_;
};

/// Text of the Error that `action` throws; "" when it throws none.
inline std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

/// The action must throw an Error whose text holds `part`.
#define EXPECT_ERROR(action, part)                                                          \
  do {                                                                                      \
    const std::string found = ::thalweg::error_of([&] { action; });                         \
    EXPECT_FALSE(found.empty()) << "nothing was thrown";                                    \
    EXPECT_NE(found.find(part), std::string::npos) << "the error was: \"" << found << "\""; \
  } while (false)

}  // namespace thalweg
