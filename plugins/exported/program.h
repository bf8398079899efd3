// A graph bound to LibTorch's operators and run through its dispatcher, so that autograd, devices and dtypes
// are the library's own. No operator is decomposed: linear, attention and norms keep their fused backward.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "bounds.h"
#include "graph.h"
#include "operand.h"
#include "symbolic.h"

namespace exported {

class Program {
 public:
  /// Looks up every operator once and checks its arguments against its schema. `weights` are the tensors of
  /// weights.safetensors: exactly those that the graph names, in their shapes and dtypes. Throws
  /// thalweg::Error naming the node for an operator that is not allowed (operators.inc) or unknown, an
  /// argument that does not fit, and for weights that do not.
  static Program bind(const std::filesystem::path& graph_json, std::map<std::string, at::Tensor> weights,
                      const Instance& instance);

  /// The output for these inputs, in the order of the graph. Values are let go after their last use. May be
  /// called from several threads. Throws std::runtime_error naming the node that fails.
  at::Tensor run(const std::vector<at::Tensor>& inputs) const;

  const std::vector<std::string>& inputs() const { return inputs_; }
  size_t size() const { return steps_.size(); }

 private:
  struct Step {
    std::optional<c10::OperatorHandle> op;  // none: symbolic
    const Symbolic* symbolic = nullptr;
    Check check = nullptr;
    bool gives_list = false;
    std::vector<Operand> arguments;
    std::vector<int> outputs;  // slots; -1: dropped
    std::vector<int> last_reads;
    std::string text;  // for errors
  };

  static Step bind_node(const Node& node, const Graph& graph, const Instance& instance,
                        const std::string& place);
  static Step bind_operator(const Node& node, const Graph& graph, const Instance& instance,
                            const std::string& place);
  static Step bind_symbolic(const Node& node, const Graph& graph, const std::string& place);
  void plan_lifetimes();
  void call(const Step& step, std::vector<c10::IValue>& values) const;

  std::vector<std::string> inputs_;
  std::vector<c10::IValue> weights_;  // of the slots after the inputs
  std::vector<Step> steps_;
  size_t slots_ = 0;
  int output_ = -1;
  Instance instance_;
};

}  // namespace exported
