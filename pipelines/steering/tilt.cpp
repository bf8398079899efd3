#include "pipelines/steering/tilt.h"

#include "pipelines/sampler_section.h"
#include "pipelines/steering/keys.h"

namespace thalweg {

void TiltMethod::describe(Fields& f) {
  f.number({"lambda",
            "strength, as of p(x) e^(lambda reward): that law itself with a soft value for the reward, an "
            "approximation otherwise; 0: none"},
           tilt_.lambda, 0.0, 1e6);
  describe_window(f, "steps that are guided", tilt_.window_begin, tilt_.window_size);
  f.number({"max_sigma", "noise level above which nothing is guided: the pull grows as sigma/(1-sigma)"},
           max_sigma_, 0.0, 1.0);
}

void TiltMethod::check(int64_t steps, const std::string& pointer) const {
  check_window(tilt_.window_begin, tilt_.window_size, steps, pointer + "/window");
}

}  // namespace thalweg
