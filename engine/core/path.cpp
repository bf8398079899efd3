#include "engine/core/path.h"

#include <algorithm>
#include <system_error>

namespace thalweg {

std::string lower_ending(const std::filesystem::path& path) {
  auto ending = path.extension().string();
  for (auto& c : ending)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return ending;
}

bool lies_in(const std::filesystem::path& folder, const std::filesystem::path& path) {
  std::error_code outer_error, inner_error;
  const auto outer = std::filesystem::weakly_canonical(folder, outer_error);
  const auto inner = std::filesystem::weakly_canonical(path, inner_error);
  return !outer_error && !inner_error &&
         std::mismatch(outer.begin(), outer.end(), inner.begin(), inner.end()).first == outer.end();
}

}  // namespace thalweg
