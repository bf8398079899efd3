#include <cstdio>
#include <cstdlib>
#include <iostream>

#include "pipelines/cli/commands.h"

int main(int argc, char** argv) {
  const int code = thalweg::cli::run_program(argc, argv);
  std::cout.flush();
  std::cerr.flush();
  std::fflush(nullptr);
  // LibTorch's tables take 80 ms to be taken apart, in each of two processes, and nobody looks at them again.
  std::_Exit(code);
}
