// Writes the prompt files of the scenes world into a folder, one caption a line:
//   make_prompts assets/prompts/scenes
// train.txt: 2,000 captions that are not held out. select.txt: 256 held-out captions on which a checkpoint is
// chosen. eval.txt: 512 other held-out captions on which it is reported. hard_*.txt: the same of the hard
// split. All in their split's shares; a family with too few captions repeats each equally often.
// caption_test.cpp holds the files in the tree against this.
#include <cstdio>
#include <string>

#include "pipelines/scenes/caption.h"
#include "tests/scenes/write_lines.h"

int main(int argc, char** argv) {
  namespace scenes = thalweg::scenes;
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
    return 2;
  }
  bool written = true;
  for (const auto split : {scenes::Split::kWorld, scenes::Split::kHard}) {
    const std::string start = std::string(argv[1]) + (split == scenes::Split::kHard ? "/hard_" : "/");
    written = written && thalweg::write_lines(start + "train.txt", scenes::train_captions(2000, 0, split)) &&
              thalweg::write_lines(start + "select.txt", scenes::eval_captions(256, 0, 0, split)) &&
              thalweg::write_lines(start + "eval.txt", scenes::eval_captions(512, 0, 1, split));
  }
  return written ? 0 : 1;
}
