// What is read off a picture's and a prompt's place on CLIP's unit sphere. P: dimensions of that space. Each
// is a function of (image_P, text_P), both of length 1, that gives a number; differentiable in the image.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <functional>

namespace clip {

using Score = std::function<at::Tensor(const at::Tensor& image_P, const at::Tensor& text_P)>;

/// image . text, in [-1, 1].
Score cosine();

/// 2.5 max(cosine, 0), in [0, 2.5] (CLIPScore, Hessel et al. 2021, arXiv 2104.08718).
Score clipscore();

/// exp(logit_scale) cosine: the model's own logit, and PickScore's score with PickScore's weights (Kirstain
/// et al. 2023, arXiv 2305.01569).
Score logit(const at::Tensor& logit_scale);

/// The logit over 26, as trainers take PickScore: about 0.6 to 1.
Score pickscore(const at::Tensor& logit_scale);

/// Goal-baseline regularisation (Rocamonde et al. 2023, arXiv 2310.12921): with goal g, baseline b and the
/// orthogonal projection of the image s onto the line through both,
///   1 - abs(alpha proj(s) + (1 - alpha) s - g)^2 / 2.
/// alpha = 0: the cosine with the goal; 1: what differs from the goal in other ways than the baseline does is
/// not seen at all. Both of length 1 and different. The prompt does not matter.
Score goal(const at::Tensor& goal_P, const at::Tensor& baseline_P, double alpha);

/// LAION's aesthetic heads: "weight" [1,P] and "bias" [1] (v1), or "layers.{0,2,4,6,7}.{weight,bias}" of
/// improved-aesthetic-predictor, applied one after the other, since that network has no activations. About 1
/// to 10. Throws thalweg::Error naming the file for another form, and what is misshapen in it. The prompt
/// does not matter.
Score aesthetic(const std::filesystem::path& head, int64_t embed_dim);

}  // namespace clip
