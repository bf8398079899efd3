// Arithmetic of sizes: what a graph computes from the shapes of its inputs, in 64-bit integers and doubles.
#pragma once

#include <ATen/core/ivalue.h>

#include <string>
#include <vector>

namespace exported {

struct Symbolic {
  const char* name;
  /// Of the arguments, in the order of `arguments`. Throws std::runtime_error for overflow, a division by
  /// zero and a value of another type.
  c10::IValue (*run)(const std::vector<c10::IValue>&);
  std::vector<std::string> arguments;
};

/// The function of this name; nullptr: there is none. Names are listed in README.md.
const Symbolic* find_symbolic(const std::string& name);

/// All their names.
std::vector<std::string> symbolic_names();

}  // namespace exported
