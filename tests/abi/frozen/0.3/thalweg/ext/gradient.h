// Plugin side, optional: the gradient of a reward, as a vector-Jacobian product.
// No automatic differentiation crosses the interface; the host wraps this function for its own.
#pragma once

#include "../reward.h"

#ifdef __cplusplus
extern "C" {
#endif

#define THALWEG_EXT_GRADIENT "thalweg.gradient/1"

typedef struct thalweg_plugin_gradient {
  // Inputs that vjp can differentiate: THALWEG_INPUT_FRAMES, THALWEG_INPUT_LATENTS or both; 0 where the
  // configuration leaves nothing to differentiate. Of both the host asks for each, as if they were
  // independent, and adds them up, the frames' through its decoder: a value that depends on both has its
  // whole gradient in the two.
  // Only while active. [main, scoring]
  uint64_t (*inputs)(const thalweg_reward* reward);

  // gradient = sum over k of cotangent[b,k] d values[b,k] / d input[b], for the one `input` named by its
  // bit. cotangent_BK is [B,K] float32; gradient has the shape of that input, float32, dense, filled with
  // NaN by the host. A sample whose gradient stays NaN counts as "no gradient": it is not moved, and that is
  // said; so is a failing status, which voids the whole call. The request has the ids of the score that it
  // belongs to. Life, device and stream as for `score`. Only while active. [scoring]
  thalweg_status (*vjp)(const thalweg_reward* reward, const thalweg_score_request* request, uint64_t input,
                        const thalweg_tensor* cotangent_BK, const thalweg_tensor* gradient);
} thalweg_plugin_gradient;

#ifdef __cplusplus
}
#endif
