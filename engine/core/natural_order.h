// The order in which people count: picture 2 before picture 10.
#pragma once

#include <string_view>

namespace thalweg {

/// Whether `a` comes before `b`: runs of the digits 0 to 9 by their number, whatever its length, the rest
/// byte by byte. Names that are equal by that ("7", "07") are in byte order, so that no two differ and are
/// equal.
bool natural_less(std::string_view a, std::string_view b);

}  // namespace thalweg
