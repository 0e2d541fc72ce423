// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/family.h"

namespace pollard::models {

/// GPT-2 with transformers' keys; checkpoints without the prefix "transformer.", with the old causal-mask buffers or
/// with a copy of the tied head are read too. Radford et al., 2019.
///
///     x = wte[id] + wpe[position];   x += A(LN1 x);   x += W2 gelu(W1 LN2 x);   logits = LN_f(x) wte^T
///
/// Matrices are stored [in, out]; c_attn [d, 3d] gives q | k | v. Goldens: the library's code run, distilgpt2 and the
/// 124M size in full.
Family gpt2();

}  // namespace pollard::models
