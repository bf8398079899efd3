// Writes one event file of known contents for tests/io/test_tensorboard.py: tensorboard_main FOLDER
#include <ATen/ATen.h>

#include <cmath>
#include <cstdio>

#include "engine/core/error.h"
#include "engine/io/image.h"
#include "engine/io/tensorboard.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: tensorboard_main FOLDER\n", stderr);
    return 2;
  }
  try {
    thalweg::EventWriter first(argv[1]);
    for (int64_t step = 0; step < 300; ++step)
      first.scalar("reward/scene", step, std::sin(static_cast<double>(step)));
    first.scalar("not/a/number", 7, std::nan(""));
    first.scalar("late", int64_t{1} << 40, -2.5);
    const auto picture_3HW = at::arange(3 * 8 * 6, at::kFloat).div(255.0).view({3, 8, 6});
    first.image("samples", 10, thalweg::encode_png(picture_3HW), 6, 8);
    first.flush();
    // A run that went on from step 200: what the first file says from there on is void.
    thalweg::EventWriter second(argv[1], 200);
    second.scalar("reward/scene", 200, 42.0);
    second.flush();
    std::printf("%s\n%s\n", first.path().c_str(), second.path().c_str());
  } catch (const thalweg::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
  }
  return 0;
}
