#include "pipelines/steering/lost_gradients.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <memory>
#include <utility>

namespace thalweg {

at::Tensor finite_samples(const at::Tensor& x) {
  return x.isfinite().flatten(1).all(1).cpu();
}

at::Tensor watching_gradients(const at::Tensor& x, const std::function<at::Tensor(const at::Tensor&)>& f,
                              std::function<void(const at::Tensor&)> lost) {
  if (!c10::GradMode::is_enabled() || !x.requires_grad()) return f(x);
  const auto inside = x.view_as(x);  // used by f alone: its gradient is complete when f's backward is done
  const auto result = f(inside);
  if (!result.requires_grad()) return result;
  const auto came_B = std::make_shared<at::Tensor>();
  result.register_hook([came_B](const at::Tensor& gradient) { *came_B = finite_samples(gradient); });
  inside.register_hook([came_B, lost = std::move(lost)](const at::Tensor& gradient) {
    const auto lost_B = came_B->logical_and(finite_samples(gradient).logical_not());
    if (lost_B.any().item<bool>()) lost(lost_B);
  });
  return result;
}

}  // namespace thalweg
