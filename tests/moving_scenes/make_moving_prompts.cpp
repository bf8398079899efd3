// Writes the prompt files of the world of moving scenes into a folder, one caption a line:
//   make_moving_prompts assets/prompts/moving_scenes
// train.txt: 2,000 captions that are not held out. select.txt: 256 held-out captions on which a checkpoint is
// chosen. eval.txt: 512 other held-out captions on which it is reported. All in the world's shares; a kind
// with too few captions repeats each equally often. caption_test.cpp holds the files in the tree against
// this.
#include <cstdio>
#include <string>

#include "pipelines/moving_scenes/caption.h"
#include "tests/scenes/write_lines.h"

int main(int argc, char** argv) {
  namespace world = thalweg::moving_scenes;
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
    return 2;
  }
  const std::string folder = std::string(argv[1]) + '/';
  const bool written = thalweg::write_lines(folder + "train.txt", world::train_captions(2000, 0)) &&
                       thalweg::write_lines(folder + "select.txt", world::eval_captions(256, 0, 0)) &&
                       thalweg::write_lines(folder + "eval.txt", world::eval_captions(512, 0, 1));
  return written ? 0 : 1;
}
