#include "engine/core/machine.h"

#include <ATen/Version.h>
#include <torch/headeronly/version.h>

#include <fstream>

namespace thalweg {

std::string processor_name() {
  std::ifstream lines("/proc/cpuinfo");
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with("model name") && line.find(": ") != std::string::npos)
      return line.substr(line.find(": ") + 2);
  return "unknown";
}

Json machine_identity() {
  return {{"program", THALWEG_VERSION},
          {"libtorch", TORCH_VERSION},
          {"cpu_capability", at::get_cpu_capability()},
          {"processor", processor_name()}};
}

}  // namespace thalweg
