// A method: one iteration of rollout and updates, and what it must remember between iterations.
#pragma once

#include "pipelines/align/context.h"

namespace thalweg {

class Method {
 public:
  virtual ~Method() = default;
  /// One rollout and its updates. Throws Error when the job cannot go on.
  virtual Metrics iterate(AlignContext& context, int64_t iteration) = 0;
  /// Tensors beside the policy that a resumed run needs (an old policy).
  virtual TensorMap state() const { return {}; }
  virtual void load_state(const TensorMap&) {}
};

std::unique_ptr<Method> make_flow_grpo(const AlignContext& context);
void check_flow_grpo(const AlignOptions& options);
std::unique_ptr<Method> make_diffusion_nft(const AlignContext& context);
void check_diffusion_nft(const AlignOptions& options);

/// A row of the table of methods (pipelines/builtin.cpp).
struct MethodRow {
  const char* name;
  const char* doc;
  void (*describe)(Fields&, AlignOptions&);
  /// What must hold of the whole job. Throws Error.
  void (*check)(const AlignOptions&);
  std::unique_ptr<Method> (*make)(const AlignContext&);
};
const std::vector<MethodRow>& method_table();
const MethodRow& method_named(const std::string& name);

}  // namespace thalweg
