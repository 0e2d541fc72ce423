// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "graph/removal.h"

namespace pollard::pruning {

/// Two prunings as one of the first network: `done` removed units of `first`, `then` of `second`, the network that was left.
/// Nothing where the two networks' axes do not correspond one to one (a group whose last but one unit left can make an
/// axis disappear).
std::optional<graph::Removal> compose(const graph::Dependencies& first, const graph::Removal& done,
                                      const graph::Dependencies& second, const graph::Removal& then);

}  // namespace pollard::pruning
