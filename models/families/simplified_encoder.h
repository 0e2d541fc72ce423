// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/family.h"

namespace pollard::models {

/// Masked-language-model encoders of "Simplifying Transformer Blocks" (He and Hofmann, ICLR 2024, arXiv 2311.01906) in
/// cramming's BERT (Geiping and Goldstein, 2022, arXiv 2212.14034): scaled sinusoidal positions, GLU feed-forward parts
/// without biases, LayerNorms, the decoder tied to the word embeddings. `block` is "preln", "sas" or "sasp" (both of the
/// latter with the identity for values and projections, shaped attention, and no attention skip).
/// Goldens: Pre-LN is cramming's code run; the simplified encoders were never published and are re-implemented from the
/// paper, their keys chosen here. The padding mask is an input of every form.
Family simplified_encoder();

}  // namespace pollard::models
