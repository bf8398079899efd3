// `thalweg plugins`: what is found, or why it cannot be used.
#pragma once

#include "engine/core/json.h"

namespace thalweg::cli {

/// All that are found, usable or not, with the reason.
Json plugins_json();
void print_plugins(bool as_json);

}  // namespace thalweg::cli
