#include "pipelines/methods/distilled.h"

namespace thalweg {

void say_distilled(Metrics& metrics) {
  double left = 0.0, all = 0.0;
  for (const auto& [name, value] : metrics) {
    if (name == "policy_loss") left = value;
    if (name == "guidance_size") all = value;
  }
  metrics.emplace_back("distilled", all > 0.0 ? 1.0 - left / all : 0.0);
}

}  // namespace thalweg
