// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/family.h"

namespace pollard::models {

/// Llama 1 to 3 with transformers' keys (Touvron et al., 2023, arXiv 2302.13971): RMSNorm, rotary positions over the
/// halves of each head, SwiGLU, and fewer key-value heads than query heads in the later sizes (grouped queries).
///
///     x += Wo attention(rot(Wq y), rot(Wk y), Wv y),  y = RMS x;   x += Wd (silu(Wg z) * Wu z),  z = RMS x
///
/// Query head j reads key-value head floor(j / (H / KV)). Rotary scaling: none, linear, or Llama 3's, which slows the
/// long wavelengths by a factor. Goldens: the library's code run, at tiny sizes.
Family llama();

}  // namespace pollard::models
