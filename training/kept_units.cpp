// SPDX-License-Identifier: Apache-2.0
#include "training/kept_units.h"

#include <ATen/ATen.h>

namespace pollard::training {
namespace {

std::string key(const std::string& value, std::size_t dim) { return value + "|" + std::to_string(dim); }

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

at::Tensor KeptUnits::of(const std::string& value, const at::Tensor& parent) const {
  at::Tensor out = parent;
  for (std::int64_t dim = 0; dim < parent.dim(); ++dim)
    if (const auto found = kept_.find(key(value, static_cast<std::size_t>(dim))); found != kept_.end())
      out = out.index_select(dim, found->second.to(out.device()));
  return out;
}

}  // namespace pollard::training
