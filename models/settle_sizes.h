// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/model.h"

namespace pollard::models {

/// Sizes that depend on data (torch.export's u0, u1: what a mask selects) have no example value in the file. Runs the
/// program once on its sample inputs and records the lengths seen, so that every analysis has a number to compute
/// with. Does nothing for programs without such sizes, or without sample inputs.
void settle_data_dependent_sizes(Model& model);

}  // namespace pollard::models
