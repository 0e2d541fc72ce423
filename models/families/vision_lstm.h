// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/family.h"

namespace pollard::models {

/// Vision-LSTM, ViL (Alkin et al., 2024, arXiv 2406.04303): matrix LSTMs (layers/mlstm.h) over the patches of an image,
/// in alternating directions. Goldens come from the authors' code; the heads of their head study, which they did not
/// publish, are re-implemented around it.
///
/// Fields are the package's. Added are pos_grid, the rows and columns of the position table when a checkpoint's is not
/// that of the input (it is resized in every run, as with stride), and mlstm, the form the cells run in.
Family vision_lstm();   ///< version 1, and every head of the study
Family vision_lstm2();  ///< version 2: blocks in pairs, 2-d convolution, biases

/// The stack of blocks of the design study, in the training code's names: one, two or four passes a layer with own or
/// shared weights, or one pass a block in alternating directions. Tokens in, tokens out.
Family xlstm_block_stack();

/// The cell alone, fed with q, k and v, or between linear projections of a sequence.
Family mlstm_cell();

}  // namespace pollard::models
