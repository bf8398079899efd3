// How a camera was held, from the EXIF part of a JPEG file (CIPA DC-008, tag 0x0112).
#pragma once

#include <string_view>

namespace thalweg {

/// 1 (upright) to 8, from the data of an APP1 marker; 1 where they say nothing or are malformed.
int exif_orientation(std::string_view app1);

}  // namespace thalweg
