// For programs that write what is kept in the tree.
#pragma once

#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

namespace thalweg {

/// False, with a line on stderr, where the file cannot be written.
inline bool write_lines(const std::string& path, const std::vector<std::string>& lines) {
  std::ofstream file(path);
  for (const std::string& line : lines) file << line << '\n';
  file.close();
  if (!file) std::fprintf(stderr, "%s: cannot be written\n", path.c_str());
  return static_cast<bool>(file);
}

}  // namespace thalweg
