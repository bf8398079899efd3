// Builds plugins and checks headers with the system's compiler, the way an author of a plugin does.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace thalweg::testing {

struct CommandResult {
  int status;
  std::string output;  // both streams
};

inline CommandResult run_command(const std::string& command) {
  CommandResult result{-1, ""};
  FILE* pipe = popen(("( " + command + " ) 2>&1").c_str(), "r");
  if (pipe == nullptr) return result;
  std::array<char, 4096> buffer;
  for (size_t n; (n = fread(buffer.data(), 1, buffer.size(), pipe)) > 0;)
    result.output.append(buffer.data(), n);
  const int status = pclose(pipe);
  result.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return result;
}

inline std::string compiler(const char* variable, const char* fallback) {
  const char* chosen = std::getenv(variable);
  return chosen != nullptr && *chosen != '\0' ? chosen : fallback;
}
inline std::string c_compiler() {
  return compiler("CC", "cc");
}
inline std::string cxx_compiler() {
  return compiler("CXX", "c++");
}

inline std::filesystem::path source_dir() {
  return THALWEG_SOURCE_DIR;
}
inline std::string include_flag() {
  return "-I'" + (source_dir() / "plugins/include").string() + "'";
}

/// A folder of this process, removed at its end.
class ScratchFolder {
 public:
  ScratchFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "thalweg-test-XXXXXX").string();
    if (mkdtemp(name.data()) != nullptr) path_ = name;
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  ~ScratchFolder() {
    std::error_code ignored;
    // A death test's child ends before its parent is done with the folder.
    if (!path_.empty() && getpid() == owner_) std::filesystem::remove_all(path_, ignored);
  }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  pid_t owner_ = getpid();
};

inline const std::filesystem::path& scratch_dir() {
  static const ScratchFolder folder;
  return folder.path();
}

inline void write_text(const std::filesystem::path& path, const std::string& text) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

/// Compiles a plugin (by its suffix as C11 or C++17) with warnings as errors.
inline void build_plugin(const std::filesystem::path& source, const std::filesystem::path& library,
                         const std::string& flags = "") {
  std::filesystem::create_directories(library.parent_path());
  const bool is_c = source.extension() == ".c";
  const auto result =
      run_command((is_c ? c_compiler() + " -std=c11" : cxx_compiler() + " -std=c++17") +
                  " -O1 -fPIC -shared -fvisibility=hidden -Wall -Wextra -pedantic -Werror " + include_flag() +
                  " " + flags + " '" + source.string() + "' -o '" + library.string() + "'");
  ASSERT_EQ(result.status, 0) << result.output;
}

}  // namespace thalweg::testing
