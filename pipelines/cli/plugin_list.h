// `thalweg plugins`: what is found, or why it cannot be used.
#pragma once

namespace thalweg::cli {

void print_plugins(bool as_json);

}  // namespace thalweg::cli
