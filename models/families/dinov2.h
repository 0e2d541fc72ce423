// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/family.h"

namespace pollard::models {

/// DINOv2 with transformers' keys, with registers (Darcet et al., 2023, arXiv 2309.16588) or without (Oquab et al.,
/// 2023, arXiv 2304.07193). Registers come after the class token and carry no position. Names of transformers 4 and
/// 5 are read. The same networks with timm's keys: vit.h. Goldens come from transformers' code.
Family dinov2();

}  // namespace pollard::models
