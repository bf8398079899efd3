// Rotary position embedding (Su et al. 2021, arXiv 2104.09864) over positions of several axes: pair i of a
// head's numbers turns by the angle position theta^{-2i/d} of its axis.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

namespace thalweg {

/// cos and sin of L tokens, [L, head_dim / 2] in float32 on the device; undefined: no rotation.
struct Rotation {
  at::Tensor cos_LP, sin_LP;

  bool defined() const { return cos_LP.defined(); }
};

/// positions_LA: int64 on the CPU, a column an axis; axes: even numbers of a head's dimensions, in order.
/// Angles are float64, as in the originals.
Rotation rotation_of(const at::Tensor& positions_LA, const std::vector<int64_t>& axes, double theta,
                     at::Device device);

/// Positions (frame, row, column) of a grid of tokens, frames before rows before columns: [L,3].
at::Tensor grid_positions(int64_t frames, int64_t rows, int64_t columns);

/// x [B,L,heads,head_dim], neighbouring numbers as pairs; in float32 at least, the result in x's dtype.
at::Tensor rotated(const at::Tensor& x_BLHD, const Rotation& rotation);

/// Rotations that were computed before, by their shape. Shared by copies of a model, and by threads.
class RotationCache {
 public:
  using Shape = std::vector<int64_t>;
  Rotation get(const Shape& shape, at::Device device, const std::function<Rotation()>& make) const;

 private:
  struct State {
    std::mutex mutex;
    std::map<Shape, Rotation> known;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace thalweg
