// SPDX-License-Identifier: Apache-2.0
#include "pruning/output_change.h"

#include <ATen/ops/linalg_vector_norm.h>

#include <algorithm>

namespace pollard::pruning {

double relative_change(const std::vector<at::Tensor>& before, const std::vector<at::Tensor>& after) {
  double largest = 0;
  for (std::size_t i = 0; i < before.size(); ++i) {
    if (!before[i].is_floating_point()) continue;
    const double size = at::linalg_vector_norm(before[i]).item<double>();
    if (size > 0)
      largest = std::max(largest, at::linalg_vector_norm(after[i].sub(before[i])).item<double>() / size);
  }
  return largest;
}

}  // namespace pollard::pruning
