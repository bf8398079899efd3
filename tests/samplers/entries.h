// Entries of a job's "steering" list, as tests write them.
#pragma once

#include <stdexcept>
#include <string>

#include "engine/core/error.h"
#include "engine/core/fields.h"
#include "pipelines/steering/steering.h"

namespace thalweg {

inline SteeringEntry read_entry(const Json& json) {
  SteeringEntry entry;
  read_fields(json, "/steering/0", [&](Fields& f) { describe(f, entry); });
  return entry;
}

inline const SteeringRow& row_of(const std::string& name) {
  for (const auto& row : steering_table())
    if (name == row.name) return row;
  throw std::runtime_error(name + " is not in the table");
}

// The place of the error that the keys make, with ten steps.
inline std::string place_of_error(const Json& json) {
  try {
    const auto entry = read_entry(json);
    row_of(entry.name).check(entry, 10);
  } catch (const Error& error) {
    return error.place();
  }
  return "none";
}

}  // namespace thalweg
