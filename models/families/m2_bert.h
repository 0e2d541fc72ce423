// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/family.h"

namespace pollard::models {

/// M2-BERT (Fu et al., "Monarch Mixer", NeurIPS 2023, arXiv 2310.12109) for masked words, the authors' keys: long
/// convolutions, gated on both sides, mix positions where BERT has attention; block-diagonal gated feed-forward parts mix
/// features. There is no attention mask: padding is mixed in like any other token.
/// Goldens: the authors' layers run on the CPU with their Fourier path, the 80M network in full.
Family m2_bert();

}  // namespace pollard::models
