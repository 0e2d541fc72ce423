// SPDX-License-Identifier: Apache-2.0
#include "training/kept_units.h"

#include <ATen/ATen.h>

namespace pollard::training {
namespace {

std::string key(const std::string& value, std::size_t dim) { return value + "|" + std::to_string(dim); }

/// Indices that stay of a dimension that was `length` long with `samples` samples and is `now` long. Undefined where the two
/// do not go together.
at::Tensor in_run(const at::Tensor& kept, std::int64_t length, std::int64_t samples, std::int64_t now) {
  if (now == length) return kept;
  const std::int64_t each = length / samples;
  if (each == 0 || length % samples != 0 || now % each != 0) return {};
  const at::Tensor first = kept.masked_select(kept.lt(each));
  return (at::arange(now / each, at::kLong).unsqueeze(1) * each + first).flatten();
}

}  // namespace

void KeptUnits::prune(const graph::Program& program, const graph::Dependencies& d,
                      const graph::Removal& removal) {
  for (std::size_t i = 0; i < program.values.size(); ++i) {
    const std::vector<graph::TermId>& dims = d.values[i].dims;
    for (std::size_t dim = 0; dim < dims.size(); ++dim) {
      if (!graph::touched(d, dims[dim], removal)) continue;
      const at::Tensor now = at::tensor(graph::kept_indices(d, dims[dim], removal), at::kLong);
      at::Tensor& kept = kept_[key(program.values[i].name, dim)];
      kept = kept.defined() ? kept.index_select(0, now) : now;
    }
  }
}

at::Tensor KeptUnits::of(const std::string& value, const at::Tensor& parent, const Example& example,
                         std::int64_t dims) const {
  at::Tensor out = parent;
  for (std::int64_t dim = 0; dim < (dims < 0 ? parent.dim() : dims); ++dim) {
    const auto at = static_cast<std::size_t>(dim);
    const auto found = kept_.find(key(value, at));
    if (found == kept_.end()) continue;
    const at::Tensor kept = in_run(found->second, example.sizes.at(at), example.samples, parent.size(dim));
    if (kept.defined()) out = out.index_select(dim, kept.to(out.device()));
  }
  return out;
}

}  // namespace pollard::training
