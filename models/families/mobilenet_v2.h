// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/family.h"

namespace pollard::models {

/// MobileNetV2 with torchvision's keys: inverted residuals, expand 1x1, depthwise 3x3, linear 1x1.
/// Sandler et al., 2018 (arXiv 1801.04381). Its goldens come from torchvision's code.
Family mobilenet_v2();

}  // namespace pollard::models
