// What may not be asked of LibTorch while a graph runs, since it would claim all memory or end the process.
#pragma once

#include <ATen/core/function_schema.h>
#include <ATen/core/stack.h>

namespace exported {

/// The sizes that a list asks for stay below 2^32 together, so that one line of a file cannot claim all
/// memory. True of anything else.
bool is_bounded(const c10::IValue& value);

/// Throws std::runtime_error for arguments, in the schema's order, that an operator must not see.
using Check = void (*)(const torch::jit::Stack& arguments);

/// Of the operator: nullptr where its arguments need no check.
Check check_of(const c10::FunctionSchema& schema);

}  // namespace exported
