// What this machine and this process have: memory, and the speed of a matrix product.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <string>

namespace thalweg {

struct AvailableMemory {
  double bytes = 0.0;
  std::string limit;
};

/// The smaller of MemAvailable and what the control group still allows. `root` stands before /proc and /sys,
/// for tests.
AvailableMemory available_memory(const std::filesystem::path& root = "/");

/// What the first GPU has left; 0 where none can be asked.
AvailableMemory available_gpu_memory();

/// A field of /proc/self/status in bytes ("VmRSS", "VmHWM"); 0 when it is not there.
double process_memory(const std::string& field);

/// FLOP a second of one thread in a product of two matrices of 768 x 768.
double matrix_product_rate(at::ScalarType dtype);

}  // namespace thalweg
