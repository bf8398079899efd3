// The Python interpreter that a reward's process becomes.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace thalweg {

struct Interpreter {
  std::string executable;           // itself, whatever script or link it was named by
  std::vector<std::string> places;  // its own files, and packages that it imports from
};

/// Asks the interpreter, a file or a name on PATH, through our script; it runs none of its packages for that.
/// Throws Error at `place`: it cannot be run, or is no Python 3.
Interpreter ask_interpreter(const std::string& interpreter, const std::filesystem::path& script,
                            double seconds, const std::string& place);

}  // namespace thalweg
