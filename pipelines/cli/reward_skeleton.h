// `thalweg reward new NAME --python|--c|--cpp`: a folder with a reward that works, to be changed.
#pragma once

#include <string>

namespace thalweg::cli {

struct RewardSkeleton {
  std::string name;
  bool python = false, c = false, cpp = false;  // one of them
};

/// Writes the folder NAME from the files of plugins/template, and says what is in it. Throws Error for a name
/// that is none, or is taken.
void write_skeleton(const RewardSkeleton& skeleton);

}  // namespace thalweg::cli
