// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/family.h"

namespace pollard::models {

/// ConvLSTM for video prediction: an LSTM whose matrices are convolutions. Shi et al., 2015 (arXiv 1506.04214), without
/// its peepholes, which neither code has. OpenSTL's keys and goldens. Input: frames cut into patches
/// [B, t_in or more, H/p, W/p, p p C], channel (py p + px) C + c, of which the first t_in are seen; output: the frame
/// after each, then t_out - 1 more from the network's own predictions. conv_o and conv_last of cells are never read;
/// they are kept for its files.
Family convlstm();

/// The stack of cells alone, x [B, T, C, H, W] to the last layer's h [B, T, hidden, H, W], of any height and width: the
/// layout of ndrplz/ConvLSTM_pytorch, one convolution of x and h together with gates in the order i, f, o, g.
Family convlstm_fused();

}  // namespace pollard::models
