// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/family.h"

namespace pollard::models {

/// iTransformer (Liu et al., ICLR 2024, arXiv 2310.06625), the authors' keys: each variate of a series [B, S, N] is
/// one token, its whole history embedded by one matrix [d, S]; plain post-norm encoder layers over the variates; each
/// token is projected to the forecast [B, P, N]. Means and deviations over time are taken out before and put back
/// after. Time marks [B, S, M], if any, are M more tokens. One checkpoint serves any number of variates.
/// Goldens: the authors' code run, the ETTh1 size in full.
Family itransformer();

}  // namespace pollard::models
