// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/family.h"

namespace pollard::models {

/// EfficientViT of Liu et al., 2023 (arXiv 2305.07027; not the network of that name with linear attention), with
/// timm's keys, the authors' accepted. Its blocks hold one cascaded group attention between convolutions:
///
///     f_0 .. f_{H-1} = chunks of x;   u_0 = f_0,  u_i = f_i + o_{i-1};   o_i = attention of head i over u_i
///     out = proj(relu(concat o_i))
///
/// Couplings: the cascade ties the value rows of head i-1 to chunk i of the stream; chunks may shrink by different
/// numbers, since a pruned program splits unevenly (an unpruned module would need equal ones). Goldens come from
/// timm's code.
Family efficientvit_msra();

}  // namespace pollard::models
