// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/family.h"

namespace pollard::models {

/// SwinLSTM: frames of a video predicted by a recurrent cell whose one gate comes from Swin blocks. Tang et al., 2023
/// (arXiv 2308.09891). B keeps one resolution; D goes down through PatchMerging and up again, with a cell and a state
/// on each level. Input: frames [B, t_in, C, H, W]; output: the frame after each, then t_out - 1 more from the
/// network's own predictions. Keys and goldens are those of the authors' code. Parameters that it makes and never reads
/// (red of odd blocks, D's second patch_embed) are kept for its files.
Family swinlstm_b();
Family swinlstm_d();

}  // namespace pollard::models
