// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "pruning/calibration.h"
#include "pruning/fairness/token_inputs.h"

namespace pollard::pruning::fairness {

/// Texts as unlabelled samples to refit on (pruning/repair.h), padded to the longest; with their mask when `padded`. A
/// program's fixed batch does not bound their number: repair lengthens it.
CalibrationSet refit_samples(const graph::Program& program, const std::vector<TokenIds>& texts, bool padded);

/// The text in windows of equal length; what is left of it at the end is dropped.
std::vector<TokenIds> windows_of(const TokenIds& text, std::int64_t length);

}  // namespace pollard::pruning::fairness
