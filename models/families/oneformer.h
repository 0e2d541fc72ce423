// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/family.h"

namespace pollard::models {

/// OneFormer (Jain et al., CVPR 2023, arXiv 2211.06220) with transformers' keys: one network for semantic, instance and
/// panoptic segmentation, told which by a task text. Goldens come from transformers 5.23; the keys of older checkpoints
/// (a backbone without `swin.`, attention.self.query, ...) are renamed.
///
///     image -> OneformerBackbone (Swin) -> PixelDecoder -> QueryDecoder -> class and mask of each query
///     task ids -> a two-layer perceptron over the ids as numbers -> task token
///     is_training: texts -> TextMapper -> text queries, to be contrasted with the queries
///
/// Takes pixel_values, task_inputs (ids, used as numbers) and, when is_training, text_inputs. The text encoder is not
/// causal, as in transformers; the authors' code masks it.
Family oneformer();

}  // namespace pollard::models
