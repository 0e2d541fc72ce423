// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/family.h"

namespace pollard::models {

/// SeTformer (Shamsolmoali et al., AAAI 2024, arXiv 2401.03540): a hierarchical vision transformer whose attention is
/// optimal transport onto learned references (layers/optimal_transport.h). The authors have published neither code nor
/// tables of sizes, and the full text was not at hand: this is a reconstruction from the abstract, whose goldens come
/// from a second implementation of the same reconstruction. There are no published sizes; the defaults have the widths
/// and depths of NAT-tiny.
///
///     stem: two 3x3 convolutions of stride 2, LayerNorm; stages of blocks, between them a 3x3 convolution of stride 2
///     block: x += attn(norm1 x); x += fc2(gelu(fc1(norm2 x)));  head(mean(norm x))
Family setformer();

/// The same blocks over token ids, references on a line.
Family setformer_text();

}  // namespace pollard::models
