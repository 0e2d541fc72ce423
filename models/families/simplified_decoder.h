// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/family.h"

namespace pollard::models {

/// Decoders of "Simplifying Transformer Blocks" (He and Hofmann, ICLR 2024, arXiv 2311.01906) on GPT-2's embeddings, with
/// the authors' keys. The same code from the usual Pre-LN block to the simplified ones, as the configuration says:
///
///     Pre-LN      two skips, rmsnorm, full values and projections
///     parallel    attention and feed-forward part read the same input; one skip
///     V-SkipInit  no attention skip, shaped attention
///     SAS         the same with identities for values and projections: a head reads and writes its own stretch of the
///                 residual stream
///     SAS-P       SAS in parallel, without any skip; `norm_type` none leaves out the norms as well
///
/// Goldens: the authors' code run, and a few combinations of its further options (LayerNorm, normed queries and keys,
/// tanh-limited scores, trainable values and projections).
Family simplified_decoder();

}  // namespace pollard::models
