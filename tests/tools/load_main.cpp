// load FOLDER: opens a model folder once, as every job does, and prints how long it took (for
// tests/bench/speed.py).
#include <chrono>
#include <cstdio>
#include <ctime>

#include "engine/core/error.h"
#include "pipelines/models.h"

int main(int count, char** arguments) try {
  if (count != 2) {
    std::fprintf(stderr, "usage: load FOLDER\n");
    return 2;
  }
  const auto wall = std::chrono::steady_clock::now();
  const auto cpu = std::clock();
  const auto model = thalweg::load_model(arguments[1], {});
  const auto wall_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - wall).count();
  const auto cpu_s = static_cast<double>(std::clock() - cpu) / CLOCKS_PER_SEC;
  std::printf("{\"wall_s\": %.6f, \"cpu_s\": %.6f, \"tensors\": %zu}\n", wall_s, cpu_s,
              model->specs().size());
  return 0;
} catch (const std::exception& e) {
  std::fprintf(stderr, "load: %s\n", e.what());
  return 2;
}
