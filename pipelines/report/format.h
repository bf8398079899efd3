// Numbers as people read them.
#pragma once

#include <string>

namespace thalweg {

/// "0.861", "12.35", "1.2e-05"; "-" for what is not finite.
std::string format_number(double value);

/// "8.2 s", "3 min 07 s", "2 h 05 min".
std::string format_duration(double seconds);

}  // namespace thalweg
