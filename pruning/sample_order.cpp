// SPDX-License-Identifier: Apache-2.0
#include "pruning/sample_order.h"

#include <algorithm>

namespace pollard::pruning {

SampleOrder::SampleOrder(const graph::Program& program, const graph::Dependencies& d, std::int64_t samples)
    : d_(d), samples_(samples) {
  for (const graph::Input* input : program.user_inputs())
    if (batch_.index < 0 && !input->constant && !d[input->value].dims.empty())
      batch_ = d.terms.find(d[input->value].dims[0]);
}

at::Tensor SampleOrder::first(const at::Tensor& x, graph::ValueId value) const {
  const std::vector<graph::TermId>& dims = d_[value].dims;
  if (batch_.index < 0 || std::ssize(dims) != x.dim()) return x;
  for (std::int64_t dim = 0; dim + 1 < x.dim(); ++dim) {
    const std::vector<graph::TermId> factors = d_.terms.factors(dims[static_cast<std::size_t>(dim)]);
    const auto place = std::ranges::find(factors, batch_);
    if (place == factors.end()) continue;
    std::int64_t before = 1;
    for (auto f = factors.begin(); f != place; ++f) before *= d_.terms.size(*f);
    if (before * samples_ == 0 || x.size(dim) % (before * samples_) != 0 || (dim == 0 && before == 1))
      return x;
    std::vector<std::int64_t> shape = x.sizes().vec();
    const std::int64_t after = x.size(dim) / (before * samples_);
    shape[static_cast<std::size_t>(dim)] = before;
    shape.insert(shape.begin() + dim + 1, {samples_, after});
    return x.reshape(shape).movedim(dim + 1, 0);
  }
  return x;
}

}  // namespace pollard::pruning
