// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

namespace pollard::models {

/// Mean of the last hidden state [B, T, d] over the positions with mask 1, scaled to length 1: how MiniLM
/// makes one vector [B, d] of a sentence.
at::Tensor sentence_embedding(const at::Tensor& hidden, const at::Tensor& attention_mask);

}  // namespace pollard::models
