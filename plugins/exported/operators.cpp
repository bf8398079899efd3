#include "operators.h"

#include <map>
#include <set>
#include <utility>

#include "engine/core/error.h"
#include "engine/core/text.h"

namespace exported {
namespace {

using thalweg::Error;
using thalweg::Json;

/// operators.inc.
struct Rules {
  std::set<std::string> operators;
  std::map<std::string, std::set<std::string>> overloads;  // of those that have but some
  std::set<std::pair<std::string, std::string>> off, null;
};

const Rules& rules() {
  static const Rules all = [] {
    Rules r;
#define OPERATOR(name) r.operators.insert(#name);
#define OVERLOAD(name, overload) r.overloads[#name].insert(#overload);
#define FIXED(name, argument) r.off.insert({#name, #argument});
#define UNSAID(name, argument) r.null.insert({#name, #argument});
#include "operators.inc"
#undef OPERATOR
#undef OVERLOAD
#undef FIXED
#undef UNSAID
    return r;
  }();
  return all;
}

bool may_call(const Node& node) {
  if (!rules().operators.contains(node.name)) return false;
  const auto some = rules().overloads.find(node.name);
  return some == rules().overloads.end() || some->second.contains(node.overload);
}

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

bool is_off(const Json& json) {
  return json.is_null() || json == false || (json.is_number() && json.get<double>() == 0.0);
}

/// The arguments as they are written: a value of the run is neither off nor null.
void require_arguments(const Node& node, const std::string& place) {
  for (const auto& [argument, given] : node.arguments.items()) {
    const auto at = place + "/args/" + thalweg::printable(argument, 200);
    if ((rules().off.contains({node.name, argument}) || argument == "pin_memory") && !is_off(given))
      throw Error(at, "must be 0 or false: this is for training");
    if (rules().null.contains({node.name, argument}) && !given.is_null())
      throw Error(at, "must be null: the sizes say it already");
  }
  if (node.name != "instance_norm" || is_off(node.arguments.value("use_input_stats", Json()))) return;
  for (const auto* running : {"running_mean", "running_var"})  // it would write into them
    if (!node.arguments.value(running, Json()).is_null())
      throw Error(place + "/args/" + running,
                  "must be null with use_input_stats: to keep statistics is for training");
}

}  // namespace

c10::OperatorHandle find_operator(const Node& node, const std::string& place) {
  if (!may_call(node))
    throw Error(place + "/op", "the operator " + thalweg::printable(node.text(), 200) +
                                   " is not among those that a graph may call: see operators.inc");
  const auto overload = node.overload == "default" ? std::string() : node.overload;
  const auto found = c10::Dispatcher::singleton().findSchema({"aten::" + node.name, overload});
  if (!found) throw Error(place + "/op", "LibTorch has no operator " + thalweg::printable(node.text(), 200));
  require_functional(node, found->schema(), place);
  require_arguments(node, place);
  return *found;
}

}  // namespace exported
