// Sheets, previews and reports show what a run did; the run does not depend on them.
#pragma once

#include <exception>
#include <string>

#include "pipelines/observer.h"

namespace thalweg {

/// Runs `make`, which writes `name` ("grid.png") and returns what of it is not as it was, or nothing. Both
/// that and a failure are told, and neither ends the run. Returns whether it was made.
template <typename Make>
bool decorate(const Observer& observer, const std::string& name, const Make& make) {
  try {
    if (const std::string note = make(); !note.empty()) observer.message(name + ": " + note);
    return true;
  } catch (const std::exception& e) {
    observer.message("warn: " + name + " is left out: " + e.what());
    return false;
  }
}

}  // namespace thalweg
