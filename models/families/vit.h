// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/family.h"

namespace pollard::models {

/// Vision transformers with timm's keys. One family holds what differs only in tokens and a few switches:
///
/// - ViT (Dosovitskiy et al., 2020, arXiv 2010.11929) and DeiT (Touvron et al., 2020, arXiv 2012.12877), whose
///   distillation token has a head of its own; the output is the mean of both heads;
/// - registers (Darcet et al., 2023, arXiv 2309.16588), DINOv2 as timm converts it, with layer scale and SwiGLU;
/// - Token Merging (arXiv 2210.09461; models/layers/token_merging.h): the field r, tokens merged a layer. It has
///   no weights, so any checkpoint serves.
///
/// Goldens come from timm's code, those of merging from the authors' patch of it.
Family vit();

/// The same network with torchvision's keys: vit_b_16 and kin.
Family torchvision_vit();

}  // namespace pollard::models
