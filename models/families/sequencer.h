// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/family.h"

namespace pollard::models {

/// Sequencer2D and the vanilla Sequencer: image classifiers that mix tokens with recurrent layers. Tatsunami and Taki,
/// 2022 (arXiv 2205.01972). Sequencer2D runs one layer along every column and one along every row; the vanilla network
/// runs one along the whole map, row by row. timm's keys; the authors' own are translated. Goldens come from both.
/// Stochastic depth has one rate, as in timm. The authors' option to shuffle tokens in training is left out.
Family sequencer();

}  // namespace pollard::models
