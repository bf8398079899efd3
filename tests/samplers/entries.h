// Entries of a job's "steering" list, as tests write them.
#pragma once

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

// The keys of `json`, as the entry that is read from it writes them.
inline Json written(const Json& json) {
  auto entry = read_entry(json);
  const auto all = write_fields([&](Fields& f) { describe(f, entry); });
  Json same = Json::object();
  for (const auto& [key, value] : json.items()) same[key] = all.value(key, Json());
  return same;
}

// The place of the error that the keys make, with ten steps.
inline std::string place_of_error(const Json& json) {
  try {
    const auto entry = read_entry(json);
    entry.method->check(10, entry.pointer);
  } catch (const Error& error) {
    return error.place();
  }
  return "none";
}

}  // namespace thalweg
