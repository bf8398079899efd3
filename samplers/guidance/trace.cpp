#include "samplers/guidance/trace.h"

#include <ATen/ATen.h>

#include <memory>
#include <utility>

namespace thalweg {
namespace {

// Of the call under way.
struct Unguided {
  at::Tensor sigma_B, v_BCFHW;
};

}  // namespace

Velocity traced(const Guidance& guidance, Velocity velocity, GuidanceSink sink) {
  if (!sink) return guidance(std::move(velocity));
  const auto seen = std::make_shared<Unguided>();
  // Guidance may look elsewhere too (below_one): what it is given at the step itself is what it changes.
  auto led = guidance(
      [velocity = std::move(velocity), seen](const at::Tensor& x, const Step& step, const Conditioning& c) {
        auto v = velocity(x, step, c);
        if (!seen->v_BCFHW.defined() && step.sigma_B.is_same(seen->sigma_B)) seen->v_BCFHW = v;
        return v;
      });
  return [led = std::move(led), seen, sink = std::move(sink)](const at::Tensor& x, const Step& step,
                                                              const Conditioning& c) {
    *seen = {step.sigma_B, {}};
    auto v = led(x, step, c);
    const auto before = std::exchange(*seen, {}).v_BCFHW;
    TORCH_CHECK(before.defined(), "guidance asks for the velocity of its step");
    if (!v.is_same(before)) sink(x.detach(), step, before.detach(), v.detach());
    return v;
  };
}

}  // namespace thalweg
