// Frames to an MP4 file: H.264, 4:2:0, the index first.
#pragma once

#include "engine/video/messages.h"

namespace thalweg::video {

/// Reads what `line` brings until its DONE, and writes the file at `media`. The same frames give the same
/// bytes on every machine with the same libraries. Throws Refused, LineBroken.
void encode(Line& line, int media);

}  // namespace thalweg::video
