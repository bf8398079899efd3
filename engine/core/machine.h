// What may change the last bits of numbers that the same job computes.
#pragma once

#include <string>

#include "engine/core/json.h"

namespace thalweg {

/// The model name of the first processor; "unknown" where the system does not say it.
std::string processor_name();

/// "program", "libtorch" (versions), "cpu_capability" (the instruction set that LibTorch uses) and
/// "processor".
Json machine_identity();

}  // namespace thalweg
