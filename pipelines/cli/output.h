// The program's own standard output; whatever else writes to descriptor 1 is kept from it.
#pragma once

#include <string>

namespace thalweg::cli {

/// Those of 0 to 2 that are closed lead to /dev/null: no file that is opened later gets their number. First
/// of all.
void open_standard_descriptors();

/// A descriptor of the true standard output, for `print` and the progress bar.
int standard_output();

/// Writes `text` there. A reader that went away is no error.
void print(const std::string& text);

}  // namespace thalweg::cli
