// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/family.h"

namespace pollard::models {

/// Swin transformers with timm's keys: attention in windows that shift by half in every second block. Liu et al.,
/// 2021 (arXiv 2103.14030). A stage begins with its downsampling. Goldens come from timm's code.
Family swin();

}  // namespace pollard::models
