// Which of LibTorch's operators a graph may call: those of operators.inc.
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>

#include <string>

#include "graph.h"

namespace exported {

/// The operator that a node of the domain "aten" calls. Throws thalweg::Error at `place` for one that is not
/// in the list, does not exist, writes into its arguments, or gives something that is no tensor.
c10::OperatorHandle find_operator(const Node& node, const std::string& place);

/// Whether this argument of it must be 0 or false: what it switches on is for training.
bool must_be_off(const std::string& op, const std::string& argument);

}  // namespace exported
