// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/family.h"

namespace pollard::models {

/// FLatten transformers (Han et al., 2023, arXiv 2308.00442): known hosts with focused linear attention
/// (layers/focused_attention.h) in their first stages. attn_type names each stage's: L linear, S softmax.
///
/// Couplings agree with what the formula shares: channels of q and k within all heads, channels of v with the shared
/// convolution, heads as a whole (renormalised: lengths run over all of them), the residual stream of each stage.
///
/// Goldens of Swin, PVT, PVTv2 and CSwin come from the authors' code. FLatten-DeiT was never published: it follows a
/// re-implementation, with the class token outside the convolution.
Family flatten_swin();
Family flatten_pvt();  ///< PVT and PVTv2
Family flatten_cswin();
Family flatten_deit();

}  // namespace pollard::models
