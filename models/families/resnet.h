// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/family.h"

namespace pollard::models {

/// Residual networks with torchvision's keys: ResNet-18 to 152, ResNeXt and Wide ResNet. The stride of a
/// bottleneck sits in its 3x3 convolution (v1.5). He et al., 2015 (arXiv 1512.03385).
Family resnet();

/// The CIFAR form, depth 6n+2 (9n+2 with bottlenecks), projection shortcuts, 8x8 average pool, with the keys
/// of the networks DepGraph prunes (arXiv 2301.12900).
Family cifar_resnet();

}  // namespace pollard::models
