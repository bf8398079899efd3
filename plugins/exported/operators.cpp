#include "operators.h"

#include <set>
#include <utility>

#include "engine/core/error.h"
#include "engine/core/text.h"

namespace exported {
namespace {

using thalweg::Error;

#define OPERATOR(name) #name,
#define FIXED(name, argument)
const std::set<std::string>& allowed() {
  static const std::set<std::string> names = {
#include "operators.inc"
  };
  return names;
}
#undef OPERATOR
#undef FIXED

#define OPERATOR(name)
#define FIXED(name, argument) {#name, #argument},
const std::set<std::pair<std::string, std::string>>& switched_off() {
  static const std::set<std::pair<std::string, std::string>> all = {
#include "operators.inc"
  };
  return all;
}
#undef OPERATOR
#undef FIXED

/// Writes into nothing, gives tensors: what else is named like an operator belongs to interpreters.
void require_functional(const Node& node, const c10::FunctionSchema& schema, const std::string& place) {
  for (const auto& argument : schema.arguments())
    if (argument.alias_info() != nullptr && argument.alias_info()->isWrite())
      throw Error(place + "/op",
                  node.text() + " writes into its arguments; a graph may call functional operators only");
  for (const auto& result : schema.returns()) {
    const auto type = result.type()->kind() == c10::TypeKind::ListType
                          ? result.type()->castRaw<c10::ListType>()->getElementType()
                          : result.type();
    if (type->kind() != c10::TypeKind::TensorType)
      throw Error(place + "/op", node.text() + " gives something that is no tensor");
  }
}

}  // namespace

bool must_be_off(const std::string& op, const std::string& argument) {
  return switched_off().contains({op, argument});
}

c10::OperatorHandle find_operator(const Node& node, const std::string& place) {
  if (!allowed().contains(node.name))
    throw Error(place + "/op", "the operator " + thalweg::printable(node.text(), 200) +
                                   " is not among those that a graph may call: see operators.inc");
  const auto overload = node.overload == "default" ? std::string() : node.overload;
  const auto found = c10::Dispatcher::singleton().findSchema({"aten::" + node.name, overload});
  if (!found) throw Error(place + "/op", "LibTorch has no operator " + thalweg::printable(node.text(), 200));
  require_functional(node, found->schema(), place);
  return *found;
}

}  // namespace exported
