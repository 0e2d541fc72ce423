// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/family.h"

namespace pollard::models {

/// DenseNet-121 to 201 with torchvision's keys: every layer reads the concatenation of all before it in its
/// block. Huang et al., 2016 (arXiv 1608.06993). Its goldens come from torchvision's code.
Family densenet();

}  // namespace pollard::models
