#include "pipelines/stages/backward_phase.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <memory>

namespace thalweg {

at::Tensor with_backward_phase(PhaseClock& clock, std::string phase, const at::Tensor& x,
                               const std::function<at::Tensor(const at::Tensor&)>& f) {
  if (!c10::GradMode::is_enabled() || !x.requires_grad()) return f(x);
  const auto inside = x.view_as(x);  // used by f alone: its gradient is complete when f's backward is done
  const auto result = f(inside);
  if (!result.requires_grad()) return result;
  const auto begin = std::make_shared<PhaseClock::Mark>();
  result.register_hook([begin, &clock](const at::Tensor&) { *begin = clock.mark(); });
  inside.register_hook(
      [begin, &clock, phase = std::move(phase)](const at::Tensor&) { clock.book(phase, *begin); });
  return result;
}

}  // namespace thalweg
