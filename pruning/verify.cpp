// SPDX-License-Identifier: Apache-2.0
#include "pruning/verify.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "models/io/stage.h"

namespace pollard::pruning {
namespace {

struct Difference {
  double absolute = 0, relative = 0;
  bool comparable = true;
};

/// Largest difference of two output lists; not comparable when counts or shapes differ or a value is not finite on
/// one side only.
Difference compare(const std::vector<at::Tensor>& got, const std::vector<at::Tensor>& want) {
  Difference out;
  if (got.size() != want.size()) return {.comparable = false};
  for (std::size_t k = 0; k < got.size(); ++k) {
    if (got[k].sizes() != want[k].sizes()) return {.comparable = false};
    if (got[k].numel() == 0) continue;
    const at::Tensor a = got[k].to(at::kDouble), b = want[k].to(at::kDouble);
    if (!at::equal(a.isfinite(), b.isfinite())) return {.comparable = false};
    const double difference = (a - b).nan_to_num(0, 0, 0).abs().max().item<double>();
    const double scale = b.nan_to_num(0, 0, 0).abs().max().item<double>();
    out.absolute = std::max(out.absolute, difference);
    out.relative = std::max(out.relative, scale > 0 ? difference / scale : difference);
  }
  return out;
}

bool renormalised(const graph::Dependencies& d, const graph::Removal& removal) {
  return std::ranges::any_of(d.renormalisations,
                             [&](const auto& r) { return graph::touched(d, r.term, removal); });
}

}  // namespace

Verification verify(const models::Model& original, const models::Model& pruned, const graph::Dependencies& d,
                    const graph::Removal& removal, const VerifyOptions& options) {
  Verification out{
      .inputs = options.inputs, .renormalised = renormalised(d, removal), .tolerance = options.tolerance};
  const kernels::Executor dense(original.program), small(pruned.program);
  const kernels::Weights masked =
      kernels::convert(masked_weights(original, d, removal), options.compute_type);
  const kernels::Weights kept = kernels::convert(pruned.weights, options.compute_type);
  kernels::RunOptions run;
  run.compute_type = options.compute_type;
  bool comparable = true;
  models::io::tell_stage({.name = "verify", .unit = "inputs", .done = 0, .total = options.inputs});
  const auto sets = example_inputs(original, options.inputs, options.seed);
  for (std::size_t i = 0; i < sets.size(); ++i) {
    const auto want = run_masked(dense, d, removal, masked, sets[i], options.compute_type);
    const Difference difference = compare(small.run(kept, sets[i], run), want);
    comparable = comparable && difference.comparable;
    out.max_difference = std::max(out.max_difference, difference.absolute);
    out.max_relative = std::max(out.max_relative, difference.relative);
    if (i == 0) out.change = compare(dense.run(original.weights, sets[i], run), want).relative;
    models::io::tell_stage({.name = "verify",
                            .unit = "inputs",
                            .done = static_cast<std::int64_t>(i) + 1,
                            .total = std::ssize(sets)});
  }
  out.ok = comparable && out.max_relative <= options.tolerance;
  return out;
}

}  // namespace pollard::pruning
