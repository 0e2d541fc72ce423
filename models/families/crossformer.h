// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/family.h"

namespace pollard::models {

/// Crossformer (Zhang and Yan, ICLR 2023), the authors' keys: a series [B, T, D] is cut into segments in each of its D
/// dimensions, tokens [B, D, L, d]. Attention in two stages: over the L segments of one dimension, then over the D
/// dimensions of one segment, through c learnt routers that collect from all and hand out to all, in c D steps
/// instead of D^2. Coarser scales merge `win_size` neighbouring segments; the decoder has a layer for each scale and the
/// forecast [B, P, D] is the sum of their predictions.
/// Goldens: the authors' code run, the ETTh1 size in full.
Family crossformer();

}  // namespace pollard::models
