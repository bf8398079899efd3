// A batch several times over, one copy after the other: [copy 0: B rows][copy 1: B rows]...
#pragma once

#include "engine/core/values.h"

namespace thalweg {

/// Nothing is copied for one copy or for a batch of one row.
Conditioning tiled(const Conditioning& conditioning, int64_t copies);

/// Every copy has the rows' own slots.
Step tiled(const Step& step, int64_t copies);

}  // namespace thalweg
