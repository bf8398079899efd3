#include "engine/models/checkpointed.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/saved_variable.h>

#include <algorithm>

namespace thalweg {
namespace {

using torch::autograd::Node;
using torch::autograd::SavedVariable;
using torch::autograd::variable_list;

// A Node of our own, because torch::autograd::Function loses the gradients of what its function captures:
// here the parameters are inputs of the node beside the activations, so the graph leads to them.
class CheckpointNode final : public Node {
 public:
  CheckpointNode(NetworkPart part, const std::vector<at::Tensor>& activations,
                 std::vector<at::Tensor> parameters)
      : part_(std::move(part)), parameters_(std::move(parameters)) {
    for (const auto& x : activations) activations_.emplace_back(x, /*is_output=*/false);
  }

  variable_list apply(variable_list&& output_gradients) override {
    TORCH_CHECK(!c10::GradMode::is_enabled(), "a checkpointed part has first derivatives only");
    const c10::AutoGradMode with_gradients(true);
    std::vector<at::Tensor> inputs;
    for (const auto& saved : activations_) {
      const auto x = saved.unpack();
      inputs.push_back(x.detach().set_requires_grad(x.requires_grad()));
    }
    const auto outputs = part_(inputs);
    inputs.insert(inputs.end(), parameters_.begin(), parameters_.end());
    variable_list roots, root_gradients;
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (!output_gradients[i].defined() || !outputs[i].requires_grad()) continue;
      roots.push_back(outputs[i]);
      root_gradients.push_back(output_gradients[i]);
    }
    return gradients(roots, root_gradients, inputs);
  }

  void release_variables() override {
    for (auto& saved : activations_) saved.reset_data();
  }

  std::string name() const override { return "CheckpointBackward"; }

 private:
  // One entry an input, undefined where none is asked for. The inner graph ends at the inputs: what made a
  // parameter (a cast of its leaf) belongs to the outer one.
  variable_list gradients(const variable_list& roots, const variable_list& root_gradients,
                          const std::vector<at::Tensor>& inputs) {
    variable_list result(inputs.size()), wanted;
    std::vector<size_t> places;
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (!inputs[i].requires_grad() || !task_should_compute_output(i)) continue;
      wanted.push_back(inputs[i]);
      places.push_back(i);
    }
    if (roots.empty() || wanted.empty()) return result;
    const auto computed = torch::autograd::grad(roots, wanted, root_gradients, std::nullopt,
                                                /*create_graph=*/false, /*allow_unused=*/true);
    for (size_t i = 0; i < places.size(); ++i) result[places[i]] = computed[i];
    return result;
  }

  NetworkPart part_;
  std::vector<SavedVariable> activations_;
  std::vector<at::Tensor> parameters_;
};

}  // namespace

std::vector<at::Tensor> checkpointed(NetworkPart part, const std::vector<at::Tensor>& activations,
                                     const std::vector<at::Tensor>& parameters) {
  std::vector<at::Tensor> trained;
  std::copy_if(parameters.begin(), parameters.end(), std::back_inserter(trained),
               [](const at::Tensor& t) { return t.defined() && t.requires_grad(); });
  const bool needed = c10::GradMode::is_enabled() &&
                      (!trained.empty() || std::any_of(activations.begin(), activations.end(),
                                                       [](const auto& x) { return x.requires_grad(); }));
  if (!needed) return part(activations);
  std::vector<at::Tensor> outputs;
  {
    const c10::NoGradGuard keep_nothing;
    outputs = part(activations);
  }
  auto inputs = activations;
  inputs.insert(inputs.end(), trained.begin(), trained.end());
  const std::shared_ptr<CheckpointNode> node(
      new CheckpointNode(std::move(part), activations, std::move(trained)), torch::autograd::deleteNode);
  node->set_next_edges(torch::autograd::collect_next_edges(inputs));
  for (auto& output : outputs) {
    TORCH_CHECK(std::none_of(inputs.begin(), inputs.end(), [&](const auto& x) { return x.is_same(output); }),
                "a checkpointed part returned one of its inputs");
    torch::autograd::set_history(output, node);
  }
  return outputs;
}

}  // namespace thalweg
