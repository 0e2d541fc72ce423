// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/family.h"

namespace pollard::models {

/// GPT-J with transformers' keys (Wang and Komatsuzaki, 2021): attention and feed-forward part both read one
/// LayerNorm and are added to the stream together; positions turn the first `rotary_dim` channels of each head of q
/// and k, neighbours in pairs; the head is a matrix of its own with a bias.
///
///     y = LN x;   x += Wo attention(rot(Wq y), rot(Wk y), Wv y) + W2 gelu(W1 y)
///
/// Goldens: the library's code run, at a tiny size.
Family gptj();

}  // namespace pollard::models
