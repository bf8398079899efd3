// DiffusionNFT's loss of one noising (engine/losses/nft.h).
#pragma once

#include "engine/losses/nft.h"
#include "pipelines/methods/matching.h"

namespace thalweg {

/// Of advantages clipped at `clip`; the squared difference to `v_old` is the measure old_deviation.
StepLoss contrast(const Noising& noising, const at::Tensor& v_old, NftMode mode, double beta, double clip);

}  // namespace thalweg
