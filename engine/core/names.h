// Lists of names, and suggestions for misspelt ones.
#pragma once

#include <string>
#include <vector>

namespace thalweg {

/// The candidate with the smallest edit distance to `name`, or "" when none is near (distance above
/// a third of the longer length, at least 2).
std::string nearest_name(const std::string& name, const std::vector<std::string>& candidates);

/// "a, b, c"
std::string join(const std::vector<std::string>& words, const std::string& separator = ", ");

/// " (did you mean \"x\"?)" when a candidate is near, else " (known: a, b, c)".
std::string suggestion(const std::string& name, const std::vector<std::string>& candidates);

/// The `name` of each row of a table, in its order.
template <typename Table>
std::vector<std::string> names_of(const Table& table) {
  std::vector<std::string> names;
  for (const auto& row : table) names.emplace_back(row.name);
  return names;
}

}  // namespace thalweg
