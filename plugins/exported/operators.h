// Which of LibTorch's operators a graph may call, and with what: the rules of operators.inc.
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>

#include <string>

#include "graph.h"

namespace exported {

/// The operator that a node of the domain "aten" calls. Throws thalweg::Error at `place` for one that is not
/// in the list, does not exist, writes into its arguments, or gives something that is no tensor, and for an
/// argument that the rules do not allow.
c10::OperatorHandle find_operator(const Node& node, const std::string& place);

}  // namespace exported
