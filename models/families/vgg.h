// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/family.h"

namespace pollard::models {

/// VGG for 32x32 images (Simonyan and Zisserman, arXiv 1409.1556) in the layout DepGraph prunes: five blocks
/// of 3x3 convolutions, max-pooled after blocks 0 to 2 (and 3 at 64x64), a global average, one linear layer.
/// Written from the description of that layout; its goldens come from the original code.
Family cifar_vgg();

/// The paper's own VGG for 224x224 images, with torchvision's keys (three fully connected layers) or timm's (the first two
/// as convolutions over the 7x7 map). Read from the places of the convolutions: a pool takes one more.
Family vgg();

}  // namespace pollard::models
