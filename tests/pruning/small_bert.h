// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/golden_fill.h"
#include "models/registry.h"

namespace pollard::pruning {

/// The first small BERT of the registry; its matrices have content, where fresh ones would hide mistakes.
inline models::Model small_bert() {
  const models::Family& family = *models::find_family("bert");
  models::Model model = models::fresh_model(family, family.small_specs.front(), 0);
  for (auto& [name, tensor] : model.weights)
    if (tensor.is_floating_point() && tensor.dim() == 2)
      tensor = models::golden_parameter(name, tensor.sizes());
  return model;
}

}  // namespace pollard::pruning
