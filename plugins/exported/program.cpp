#include "program.h"

#include <ATen/core/stack.h>

#include <set>
#include <stdexcept>
#include <utility>

#include "bounds.h"
#include "engine/core/error.h"
#include "engine/core/names.h"
#include "engine/core/text.h"
#include "operators.h"

namespace exported {
namespace {

using c10::IValue;
using thalweg::Error;
using thalweg::Json;

constexpr int64_t kMaxValueBytes = int64_t{16} << 30;  // of what a call gives; a real reward is far below

std::string first_line(std::string text) {
  return text.substr(0, text.find('\n'));
}

}  // namespace

Program::Step Program::bind_operator(const Node& node, const Graph& graph, const Instance& instance,
                                     const std::string& place) {
  Step step;
  step.op = find_operator(node, place);
  const auto& schema = step.op->schema();
  step.check = check_of(schema);
  size_t used = 0;
  for (const auto& argument : schema.arguments()) {
    const auto at = place + "/args/" + argument.name();
    const auto given = node.arguments.find(argument.name());
    const bool is_given = given != node.arguments.end();
    used += is_given ? 1 : 0;
    const auto base = argument.type()->kind() == c10::TypeKind::OptionalType
                          ? argument.type()->castRaw<c10::OptionalType>()->getElementType()
                          : argument.type();
    if (base->kind() == c10::TypeKind::DeviceObjType) {
      Operand device;
      device.constant = IValue(instance.device);
      step.arguments.push_back(std::move(device));
    } else if (is_given) {
      step.arguments.push_back(bind_operand(*given, argument, graph, node.first_slot, instance, at));
      if (!is_bounded(step.arguments.back().constant))
        throw Error(at, "asks for more elements than a reward may");
    } else if (argument.default_value()) {
      Operand standard;
      standard.constant = *argument.default_value();
      step.arguments.push_back(std::move(standard));
    } else {
      throw Error(at, "is missing, and " + node.text() + " has no default for it");
    }
  }
  if (used != node.arguments.size())
    throw Error(place + "/args", "names an argument that " + node.text() + " does not take");
  const auto& returns = schema.returns();
  step.gives_list = returns.size() == 1 && returns[0].type()->kind() == c10::TypeKind::ListType;
  if (!step.gives_list && returns.size() != node.outputs.size())
    throw Error(place + "/outputs", node.text() + " gives " + std::to_string(returns.size()) +
                                        " values, not " + std::to_string(node.outputs.size()));
  return step;
}

Program::Step Program::bind_symbolic(const Node& node, const Graph& graph, const std::string& place) {
  Step step;
  step.symbolic = find_symbolic(node.name);
  if (step.symbolic == nullptr || !node.overload.empty())
    throw Error(place + "/op", "there is no arithmetic of sizes named " +
                                   thalweg::printable(node.text(), 200) +
                                   thalweg::suggestion(node.name, symbolic_names()));
  for (const auto& name : step.symbolic->arguments) {
    const auto given = node.arguments.find(name);
    if (given == node.arguments.end()) throw Error(place + "/args/" + name, "is missing");
    step.arguments.push_back(bind_number(*given, graph, node.first_slot, place + "/args/" + name));
  }
  if (node.arguments.size() != step.arguments.size())
    throw Error(place + "/args", "names an argument that " + node.text() + " does not take");
  if (node.outputs.size() != 1) throw Error(place + "/outputs", node.text() + " gives one value");
  return step;
}

Program::Step Program::bind_node(const Node& node, const Graph& graph, const Instance& instance,
                                 const std::string& place) {
  if (node.domain != "aten" && node.domain != "sym")
    throw Error(place + "/op", "the operator " + thalweg::printable(node.text(), 200) +
                                   " is neither of aten nor of sym, and a graph may call no other");
  auto step =
      node.domain == "sym" ? bind_symbolic(node, graph, place) : bind_operator(node, graph, instance, place);
  step.outputs = node.outputs;
  step.text = node.text();
  return step;
}

namespace {

/// The tensors of the graph's weights, in its order, in the instance's dtype and on its device.
std::vector<IValue> bind_weights(const Graph& graph, std::map<std::string, at::Tensor> tensors,
                                 const Instance& instance, const std::string& at) {
  std::vector<IValue> bound;
  std::set<std::string> used;
  for (const auto& weight : graph.weights) {
    const auto place = at + "/weights/" + thalweg::printable(weight.value, 200);
    const auto found = tensors.find(weight.tensor);
    if (found == tensors.end())
      throw Error(place,
                  "weights.safetensors has no tensor \"" + thalweg::printable(weight.tensor, 200) + "\"");
    const auto& tensor = found->second;
    const auto dtype = dtype_of(weight.dtype, place + "/dtype");
    if (tensor.scalar_type() != dtype)
      throw Error(place, std::string("is ") + c10::toString(tensor.scalar_type()) +
                             " in weights.safetensors, not " + weight.dtype);
    if (tensor.sizes() != at::IntArrayRef(weight.shape))
      throw Error(place, "has another shape in weights.safetensors");
    const auto type = dtype == instance.exported ? instance.dtype : dtype;
    // A copy: sums must not depend on where in the file a tensor starts, nor reads on whether it is still
    // there.
    bound.emplace_back(tensor.to(instance.device, type, false, true));
    used.insert(weight.tensor);
  }
  for (const auto& [name, tensor] : tensors)
    if (!used.contains(name))
      throw Error(at + "/weights",
                  "do not name the tensor \"" + thalweg::printable(name, 200) + "\" of weights.safetensors");
  return bound;
}

}  // namespace

Program Program::bind(const std::filesystem::path& graph_json, std::map<std::string, at::Tensor> weights,
                      const Instance& instance) {
  const auto graph = read_graph(graph_json);
  const auto at = graph_json.string() + "#";
  Program program;
  program.instance_ = instance;
  program.inputs_ = graph.inputs;
  program.weights_ = bind_weights(graph, std::move(weights), instance, at);
  for (size_t i = 0; i < graph.nodes.size(); ++i)
    program.steps_.push_back(bind_node(graph.nodes[i], graph, instance, at + "/nodes/" + std::to_string(i)));
  program.slots_ = graph.values.size();
  program.output_ = graph.output;
  program.plan_lifetimes();
  return program;
}

void Program::plan_lifetimes() {
  std::vector<bool> read(slots_, false);
  read[static_cast<size_t>(output_)] = true;
  for (auto step = steps_.rbegin(); step != steps_.rend(); ++step) {
    const auto last = [&](int slot) {
      if (slot < 0 || read[static_cast<size_t>(slot)]) return;
      read[static_cast<size_t>(slot)] = true;
      step->last_reads.push_back(slot);
    };
    for (const int slot : step->outputs) last(slot);  // of what nobody reads
    for (const auto& argument : step->arguments) argument.for_slots(last);
  }
}

void Program::call(const Step& step, std::vector<IValue>& values) const {
  torch::jit::Stack stack;
  stack.reserve(step.arguments.size());
  for (const auto& argument : step.arguments) {
    stack.push_back(argument.get(values, instance_.device));
    if (!argument.items.empty() && !is_bounded(stack.back()))
      throw std::runtime_error("asks for more elements than a reward may");
  }
  if (step.symbolic != nullptr) {
    stack = {step.symbolic->run(stack)};
  } else {
    if (step.check != nullptr) step.check(stack);
    step.op->callBoxed(stack);
  }
  if (step.gives_list) {
    auto list = stack.at(0).toListRef().vec();
    stack.assign(list.begin(), list.end());
  }
  if (stack.size() != step.outputs.size())
    throw std::runtime_error("gave " + std::to_string(stack.size()) + " values, not " +
                             std::to_string(step.outputs.size()));
  for (size_t i = 0; i < stack.size(); ++i) {
    if (stack[i].isTensor() && stack[i].toTensor().defined() &&
        static_cast<int64_t>(stack[i].toTensor().nbytes()) > kMaxValueBytes)
      throw std::runtime_error("gave a larger tensor than a reward may hold");
    if (step.outputs[i] >= 0) values[static_cast<size_t>(step.outputs[i])] = std::move(stack[i]);
  }
}

at::Tensor Program::run(const std::vector<at::Tensor>& inputs) const {
  std::vector<IValue> values(slots_);
  for (size_t i = 0; i < inputs.size(); ++i) values[i] = inputs[i];
  for (size_t i = 0; i < weights_.size(); ++i) values[inputs_.size() + i] = weights_[i];
  for (size_t i = 0; i < steps_.size(); ++i) {
    const auto fail = [&](const std::string& why) {
      throw std::runtime_error("node " + std::to_string(i) + " of the graph (" + steps_[i].text +
                               "): " + first_line(why));
    };
    try {
      call(steps_[i], values);
    } catch (const c10::Error& e) {
      fail(e.what_without_backtrace());
    } catch (const std::bad_alloc&) {
      throw;
    } catch (const std::exception& e) {
      fail(e.what());
    }
    for (const int slot : steps_[i].last_reads) values[static_cast<size_t>(slot)] = IValue();
  }
  const auto& output = values[static_cast<size_t>(output_)];
  if (!output.isTensor()) throw std::runtime_error("the output of the graph is no tensor");
  return output.toTensor();
}

}  // namespace exported
