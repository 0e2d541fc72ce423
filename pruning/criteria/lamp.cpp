// SPDX-License-Identifier: Apache-2.0
#include "pruning/criteria/lamp.h"

#include "pruning/criteria/options.h"

namespace pollard::pruning {

Lamp::Lamp(CriterionOptions& options) {
  magnitude_.combine = Combine::from(options, {.normalize = Normalize::Lamp});
  magnitude_.biases = options.pick_yes("biases", true);
  if (magnitude_.combine.normalize != Normalize::Lamp)
    options.refuse("lamp is a normalisation itself", "magnitude:normalize=... has the others");
}

std::string Lamp::name() const {
  return "lamp:reduce=" + magnitude_.combine.reduce_text() + ",biases=" + (magnitude_.biases ? "yes" : "no");
}

}  // namespace pollard::pruning
