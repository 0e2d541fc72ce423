// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/family.h"

namespace pollard::models {

/// GPT-Neo with transformers' keys (EleutherAI, 2021): blocks as in GPT-2, with separate q, k, v matrices without
/// biases, scores that are not scaled, and every other layer looking back over `window_size` tokens only.
/// Goldens: the library's code run, the 125M size in full.
Family gpt_neo();

/// MASFormer (Zhang et al., 2023, arXiv 2310.12442): GPT-Neo in which a few layers attend to everything before them
/// and the others to their own block of tokens and `previous_blocks` before it. Keys and parameters are GPT-Neo's, so
/// a checkpoint alone does not tell the two apart: ask for it by name. Its goldens are re-implementations on the
/// library's GPT-Neo; the authors' code was not found.
Family masformer();

}  // namespace pollard::models
