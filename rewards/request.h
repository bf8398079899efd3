// From tensors to the C structs that a plugin sees.
#pragma once

#include <ATen/ATen.h>
#include <thalweg/reward.h>

#include <string>
#include <vector>

#include "rewards/score_input.h"

namespace thalweg {

/// A dense float32 tensor on the CPU or a GPU and the C view of it. The view lives as long as this object.
class BorrowedTensor {
 public:
  BorrowedTensor() = default;
  explicit BorrowedTensor(const at::Tensor& x, at::Device device = at::kCPU);
  BorrowedTensor(const BorrowedTensor&) = delete;
  BorrowedTensor& operator=(const BorrowedTensor&) = delete;

  /// Detached, and copied only when it is not dense float32 on `device` yet.
  void set(const at::Tensor& x, at::Device device);
  /// The same, always copied.
  void set_copy(const at::Tensor& x, at::Device device);
  const at::Tensor& tensor() const { return tensor_; }
  /// NULL when nothing is set.
  const thalweg_tensor* view() const { return tensor_.defined() ? &view_ : nullptr; }

 private:
  at::Tensor tensor_;
  std::vector<int64_t> shape_, strides_;
  thalweg_tensor view_{};
};

/// The request for `input`, with those of its tensors that the descriptor declares, on `device`. They are
/// copies: a plugin that works in place would change what other rewards see and what is kept.
class Request {
 public:
  /// Throws Error at `place` when an input that the reward requires is absent, or has the wrong shape.
  Request(const ScoreInput& input, const thalweg_reward_descriptor& descriptor, const std::string& place,
          at::Device device = at::kCPU);
  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;

  const thalweg_score_request* raw() const { return &raw_; }

 private:
  void set_arrays(const ScoreInput& input);

  std::string place_;
  int64_t batch_;
  BorrowedTensor frames_, latents_, sigmas_, reference_, mask_;
  std::vector<const char*> prompts_, metadata_;
  std::vector<uint64_t> sample_ids_, seeds_;
  std::vector<int64_t> group_ids_;
  thalweg_score_request raw_{};
};

}  // namespace thalweg
