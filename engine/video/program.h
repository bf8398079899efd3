// The program that knows video files.
#pragma once

#include <string>

namespace thalweg {

/// Where thalweg-video lies: beside this program. Throws Error(place, ...) where it does not.
std::string require_video_program(const std::string& place);

}  // namespace thalweg
