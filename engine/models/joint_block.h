// The block of the MM-DiT (Esser et al. 2024, arXiv 2403.03206, section 4): image and text tokens, each with
// weights of their own, attend together. Stable Diffusion 3 and FLUX.1 are made of it. Names are those of
// diffusers.
#pragma once

#include <optional>
#include <vector>

#include "engine/models/feed_forward.h"
#include "engine/models/rotation.h"

namespace thalweg {

struct JointBlockConfig {
  int64_t heads = 1, head_dim = 64;
  bool qk_norm = false;
  bool dual = false;  // a second attention, of the image's tokens alone (SD3.5)
  bool last = false;  // the text's stream ends here (SD3)

  int64_t width() const { return heads * head_dim; }
};

/// Image tokens [B,L,D] and text tokens [B,L,D].
struct TokenStreams {
  at::Tensor x_BLD, context_BLD;
};

class JointBlock {
 public:
  static JointBlock bind(const JointBlockConfig& config, Binder binder);

  /// `rotation`: of the image's queries and keys, or none. Checkpointed, the block keeps its inputs alone for
  /// the backward pass and runs again there, to the same bits. Of the last block the text comes back as it
  /// was.
  TokenStreams operator()(const TokenStreams& in, const at::Tensor& silu_temb_BD, const Rotation& rotation,
                          bool checkpoint) const;

 private:
  struct Attention {
    Linear to_q, to_k, to_v, to_out;
    Linear add_q, add_k, add_v, to_add_out;
    Norm norm_q, norm_k, norm_added_q, norm_added_k;
  };

  static Attention bind_attention(const JointBlockConfig& config, Binder binder, bool joint);
  std::pair<at::Tensor, at::Tensor> attend(const Attention& a, const at::Tensor& x_BLD,
                                           const at::Tensor& c_BLD, const Rotation& rotation) const;
  TokenStreams run(TokenStreams in, const at::Tensor& modulation, const at::Tensor& context_modulation,
                   const Rotation& rotation) const;

  JointBlockConfig config_;
  Linear norm1_, norm1_context_;
  Attention attn_;
  std::optional<Attention> attn2_;
  FeedForward ff_, ff_context_;
  std::vector<at::Tensor> tensors_;  // all of them
};

}  // namespace thalweg
