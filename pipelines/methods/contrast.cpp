#include "pipelines/methods/contrast.h"

#include <ATen/ATen.h>

namespace thalweg {

StepLoss contrast(const Noising& n, const at::Tensor& v_old, NftMode mode, double beta, double clip) {
  return {.policy_B =
              [=, v = n.v, x_t = n.x_t, x0 = n.x0, sigma_B = n.sigma_B](const at::Tensor& advantage_B) {
                const auto r_B = nft_optimality(nft_advantage(advantage_B, mode), clip).to(x0.scalar_type());
                return nft_loss(v, v_old, x_t, x0, sigma_B, r_B, beta, clip);
              },
          .measures = {{"old_deviation", velocity_kl(n.v.detach(), v_old)}}};
}

}  // namespace thalweg
