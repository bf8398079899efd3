#include "engine/video/program.h"

#include "engine/core/error.h"
#include "engine/core/process.h"

namespace thalweg {

std::string require_video_program(const std::string& place) {
  if (const auto file = program_beside("thalweg-video")) return file->string();
  throw Error(
      place,
      "thalweg-video is not there, which reads and writes videos: build or install it with the program");
}

}  // namespace thalweg
