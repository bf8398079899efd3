// Hidden states of a network, for whoever listens while it is asked: the head of a discriminator. By thread,
// so that workers that ask the same role do not hear each other.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace thalweg {

/// Listens on this thread as long as it lives; the innermost hears.
class FeatureScope {
 public:
  FeatureScope();
  ~FeatureScope();
  FeatureScope(const FeatureScope&) = delete;
  FeatureScope& operator=(const FeatureScope&) = delete;

  /// Tokens [B,L,D] after the block in the middle, of the last call; undefined: no network told any.
  const at::Tensor& tokens_BLD() const { return tokens_BLD_; }

 private:
  friend void tell_features(int64_t, int64_t, const at::Tensor&);
  FeatureScope* const outer_;
  at::Tensor tokens_BLD_;
};

/// Said by a network after its block `index` of so many.
void tell_features(int64_t index, int64_t blocks, const at::Tensor& tokens_BLD);

}  // namespace thalweg
