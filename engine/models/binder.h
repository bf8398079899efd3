// Binding: from named tensors and a config to a callable model.
//
// A family writes one function `Model bind(const Config&, Binder)` that asks for each parameter by its
// diffusers name and shape. The same function lists what a model needs (declare) and reads it (bind), so
// names and shapes are written once. Linear layers pick up an adapter's LoRA pair by name on the way.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "engine/core/values.h"
#include "engine/models/layers.h"

namespace thalweg {

/// How `initial_parameters` fills a tensor that no file gives.
enum class Init { zeros, ones, normal_002, xavier_uniform, kaiming_uniform, bias_of_fan_in, fixed };

struct ParameterSpec {
  std::string name;
  std::vector<int64_t> shape;
  Init init = Init::zeros;
  int64_t fan_in = 0;
};

/// Low-rank adapter: tensors "<module>.lora_A.weight" [r, in] and "<module>.lora_B.weight" [out, r]; of a
/// convolution [r, in, k, k] and [out, r, 1, 1].
struct Adapter {
  TensorMap tensors;
  double scale = 1.0;                         // alpha / rank
  std::map<std::string, double> scales = {};  // of modules that have another
};

class Binder {
 public:
  /// Reads from `tensors` (which must outlive the binder, not the model); `place` names the folder or file in
  /// errors.
  Binder(const TensorMap& tensors, std::string place, const Adapter* adapter = nullptr);
  /// Declares only: every tensor asked for is an undefined placeholder and is noted in specs().
  Binder();

  /// The same binder one level down: names get `prefix` in front.
  Binder sub(const std::string& prefix) const;

  /// All tensors under this prefix, the adapter's too; none while declaring.
  std::vector<at::Tensor> all() const;

  at::Tensor tensor(const std::string& name, std::vector<int64_t> shape, Init init, int64_t fan_in = 0);
  Linear linear(const std::string& name, int64_t in, int64_t out, bool bias = true,
                Init init = Init::kaiming_uniform);
  Conv2d conv2d(const std::string& name, int64_t in, int64_t out, int64_t kernel, int64_t stride = 1,
                int64_t padding = 0);
  Norm layer_norm(const std::string& name, int64_t width, double eps);
  Norm group_norm(const std::string& name, int64_t groups, int64_t channels, double eps);
  Norm rms_norm(const std::string& name, int64_t width, double eps);

  /// Throws Error listing missing, misshapen and extra tensors, and adapter modules that nothing used.
  void finish() const;
  const std::vector<ParameterSpec>& specs() const;

 private:
  /// Gives the layer its LoRA pair, if the adapter has one.
  template <typename Layer>
  void adapt(Layer& layer, const std::string& name, const std::vector<int64_t>& shape);

  struct State;
  std::shared_ptr<State> state_;
  std::string prefix_;
};

/// Random parameters for `specs`, a pure function of (seed, name). Float32. `fixed` specs are left out.
TensorMap initial_parameters(const std::vector<ParameterSpec>& specs, uint64_t seed);

}  // namespace thalweg
