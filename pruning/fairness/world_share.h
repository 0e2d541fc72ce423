// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "pruning/fairness/probe.h"

namespace pollard::pruning::fairness {

/// This process's share among those a launcher started (`mpirun -n 4 pollard fairness score ...`): all units without one.
Share world_share();

}  // namespace pollard::pruning::fairness
