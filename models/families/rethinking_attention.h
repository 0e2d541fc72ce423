// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/family.h"

namespace pollard::models {

/// A pre-norm encoder-decoder Transformer for translation whose attention may be replaced by shallow feed-forward
/// networks over the whole sentence (Bozic et al., 2023, arXiv 2311.10642). A sentence [S, d] is masked, filled with
/// zeros to MAX_LEN rows and flattened to w = MAX_LEN d numbers:
///
///     f(w) = LN(w) -> Linear(w, m) -> LeakyReLU -> LN(m) -> Linear(m, out)
///
/// ALR puts f in place of queries, keys, values and attention; ALSR one f a head; ALRR in place of norm, attention and
/// residual; ELR in place of a whole encoder layer. In the decoder ALR exists for its own attention (one pass a target
/// position, each seeing what that position may see) and for the attention to the encoder (both sentences side by
/// side). Inputs: source and target ids, 0 is padding; output: log-probabilities [B, T, V].
/// Goldens: the authors' code run, encoder variants; the two decoder variants are written from their description.
Family rethinking_attention();

}  // namespace pollard::models
