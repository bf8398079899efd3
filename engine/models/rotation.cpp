#include "engine/models/rotation.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace thalweg {

Rotation rotation_of(const at::Tensor& positions_LA, const std::vector<int64_t>& axes, double theta,
                     at::Device device) {
  TORCH_CHECK(positions_LA.size(1) == static_cast<int64_t>(axes.size()), "an axis for each position");
  const auto options = at::TensorOptions().dtype(at::kDouble);
  std::vector<at::Tensor> angles;
  for (size_t a = 0; a < axes.size(); ++a) {
    const auto exponent =
        at::arange(0, axes[a], 2, options) * (-1.0 / static_cast<double>(std::max<int64_t>(axes[a], 1)));
    const auto position = positions_LA.select(1, static_cast<int64_t>(a)).to(at::kDouble);
    angles.push_back(position.unsqueeze(1) * at::pow(theta, exponent).unsqueeze(0));
  }
  const auto angle_LP = at::cat(angles, 1);
  return {angle_LP.cos().to(device, at::kFloat), angle_LP.sin().to(device, at::kFloat)};
}

at::Tensor grid_positions(int64_t frames, int64_t rows, int64_t columns) {
  const auto along = [&](int64_t count, std::vector<int64_t> shape) {
    return at::arange(count, at::kLong).view(shape).expand({frames, rows, columns}).flatten();
  };
  return at::stack({along(frames, {-1, 1, 1}), along(rows, {1, -1, 1}), along(columns, {1, 1, -1})}, 1);
}

at::Tensor rotated(const at::Tensor& x_BLHD, const Rotation& rotation) {
  const bool is_double = x_BLHD.scalar_type() == at::kDouble;
  const auto pairs = x_BLHD.to(is_double ? at::kDouble : at::kFloat).unflatten(-1, {-1, 2});
  const auto first = pairs.select(-1, 0), second = pairs.select(-1, 1);
  const auto cos = rotation.cos_LP.unsqueeze(1), sin = rotation.sin_LP.unsqueeze(1);  // [L,1,P]
  return at::stack({first * cos - second * sin, second * cos + first * sin}, -1)
      .flatten(-2)
      .to(x_BLHD.scalar_type());
}

Rotation RotationCache::get(const Shape& shape, at::Device device,
                            const std::function<Rotation()>& make) const {
  constexpr size_t kMost = 64;  // of shapes: a run has few
  auto key = shape;
  key.push_back(static_cast<int64_t>(device.type()));
  key.push_back(device.index());
  const std::lock_guard lock(state_->mutex);
  if (const auto it = state_->known.find(key); it != state_->known.end()) return it->second;
  if (state_->known.size() >= kMost) state_->known.clear();
  return state_->known[key] = make();
}

}  // namespace thalweg
