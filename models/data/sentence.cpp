// SPDX-License-Identifier: Apache-2.0
#include "models/data/sentence.h"

#include <ATen/ops/linalg_vector_norm.h>

namespace pollard::models {

at::Tensor sentence_embedding(const at::Tensor& hidden, const at::Tensor& attention_mask) {
  const at::Tensor keep = attention_mask.to(hidden.scalar_type()).unsqueeze(-1);
  const at::Tensor mean = hidden.mul(keep).sum(1).div(keep.sum(1).clamp_min(1e-9));
  return mean.div(at::linalg_vector_norm(mean, 2, at::IntArrayRef{-1}, true).clamp_min(1e-12));
}

}  // namespace pollard::models
