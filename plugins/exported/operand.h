// An argument of a call: a constant made once, or a value of the run, in the type that the operator's schema
// asks for.
#pragma once

#include <ATen/core/function_schema.h>
#include <ATen/core/ivalue.h>

#include <string>
#include <vector>

#include "graph.h"
#include "words.h"

namespace exported {

struct Operand {
  /// What a value must be, or becomes: a number where a tensor is asked for is wrapped as LibTorch's own
  /// functions do it, so that it does not decide the result's dtype.
  enum class Type { tensor, optional_tensor, integer, real, number, boolean, other };

  bool is_list = false;
  Type type = Type::other;
  int slot = -1;               // of a value of the run
  c10::IValue constant;        // if it is neither that nor a list with such
  std::vector<Operand> items;  // of a list with such

  c10::IValue get(const std::vector<c10::IValue>& values, at::Device device) const;
  /// Calls f(slot) for every value that it reads.
  template <class F>
  void for_slots(F&& f) const {
    if (slot >= 0) f(slot);
    for (const auto& item : items) item.for_slots(f);
  }
};

/// `json` as `argument` of an operator, seen by a node whose values are those below `limit`. Throws
/// thalweg::Error at `place`.
Operand bind_operand(const thalweg::Json& json, const c10::Argument& argument, const Graph& graph, int limit,
                     const Instance& instance, const std::string& place);

/// The same of an argument of the arithmetic of sizes, which takes numbers, and a tensor for size().
Operand bind_number(const thalweg::Json& json, const Graph& graph, int limit, const std::string& place);

}  // namespace exported
