// SPDX-License-Identifier: Apache-2.0
#include "models/layers/token_merging.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/argsort.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/gather.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/max.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/scatter.h>
#include <ATen/ops/scatter_add.h>
#include <ATen/ops/sort.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <limits>
#include <tuple>

namespace pollard::models {
namespace {

at::Tensor even(const at::Tensor& x) { return x.slice(1, 0, std::nullopt, 2); }
at::Tensor odd(const at::Tensor& x) { return x.slice(1, 1, std::nullopt, 2); }

/// [B, n] indices as [B, n, C], for gathering whole tokens of `like` [B, N, C].
at::Tensor whole_tokens(const at::Tensor& index, const at::Tensor& like) {
  return index.unsqueeze(2).expand({index.size(0), index.size(1), like.size(2)});
}

/// a and b in turn, [B, N]; a is as long as b or one longer.
at::Tensor interleave(const at::Tensor& a, const at::Tensor& b) {
  const std::int64_t pairs = b.size(1);
  const at::Tensor both = at::stack({a.slice(1, 0, pairs), b}, 2).reshape({b.size(0), 2 * pairs});
  return a.size(1) == pairs ? both : at::cat({both, a.slice(1, pairs)}, 1);
}

/// [first_0, second_0, first.., second..] of a distilled network, [first, second] otherwise.
at::Tensor join(const at::Tensor& first, const at::Tensor& second, bool distilled) {
  if (!distilled) return at::cat({first, second}, 1);
  return at::cat({first.slice(1, 0, 1), second.slice(1, 0, 1), first.slice(1, 1), second.slice(1, 1)}, 1);
}

}  // namespace

std::optional<TokenMatching> match_tokens(const at::Tensor& metric, std::int64_t r, ProtectedTokens keep) {
  const std::int64_t special = (keep.class_token ? 1 : 0) + (keep.distill_token ? 1 : 0);
  r = std::min(r, (metric.size(1) - special) / 2);
  if (r <= 0) return std::nullopt;
  const at::Tensor unit = metric.div(at::linalg_vector_norm(metric, 2, {-1}, true));
  const at::Tensor b = odd(unit);
  at::Tensor scores = at::matmul(even(unit), b.transpose(1, 2));
  const double never = -std::numeric_limits<double>::infinity();
  if (keep.class_token) scores = at::constant_pad_nd(scores.slice(1, 1), {0, 0, 1, 0}, never);
  if (keep.distill_token) scores = at::constant_pad_nd(scores.slice(2, 1), {1, 0}, never);
  const auto [best, nearest] = at::max(scores, -1);
  const at::Tensor order = at::argsort(best, -1, true);
  TokenMatching out{.unmerged = order.slice(1, r),
                    .source = order.slice(1, 0, r),
                    .target = {},
                    .targets = b.size(1),
                    .distill_token = keep.distill_token};
  out.target = at::gather(nearest, 1, out.source);
  if (keep.class_token) out.unmerged = std::get<0>(at::sort(out.unmerged, 1));
  return out;
}

at::Tensor TokenMatching::merge(const at::Tensor& x) const {
  const at::Tensor a = even(x);
  const at::Tensor kept = at::gather(a, 1, whole_tokens(unmerged, x));
  const at::Tensor moved = at::gather(a, 1, whole_tokens(source, x));
  return join(kept, at::scatter_add(odd(x), 1, whole_tokens(target, x), moved), distill_token);
}

at::Tensor TokenMatching::unmerge(const at::Tensor& y) const {
  return at::gather(y, 1, whole_tokens(places(), y));
}

at::Tensor TokenMatching::places() const {
  const std::int64_t batch = source.size(0), kept = unmerged.size(1);
  // Where the kept sources and the targets stand in the merged sequence.
  at::Tensor first = at::arange(kept, source.options()), second = at::arange(targets, source.options());
  if (distill_token) {
    first = at::cat({first.slice(0, 0, 1), first.slice(0, 1).add(1)});
    second = at::cat({second.slice(0, 0, 1).add(1), second.slice(0, 1).add(kept)});
  } else {
    second = second.add(kept);
  }
  first = first.unsqueeze(0).expand({batch, kept});
  second = second.unsqueeze(0).expand({batch, targets});
  at::Tensor a = at::zeros({batch, kept + source.size(1)}, source.options());
  a = at::scatter(at::scatter(a, 1, unmerged, first), 1, source, at::gather(second, 1, target));
  return interleave(a, second);
}

std::vector<std::int64_t> merge_schedule(std::int64_t r, double inflect, std::int64_t layers) {
  const double low = static_cast<double>(static_cast<std::int64_t>(static_cast<double>(r) * (1 - inflect)));
  const double high = 2 * static_cast<double>(r) - low;
  const double step = layers > 1 ? (high - low) / static_cast<double>(layers - 1) : 0;
  std::vector<std::int64_t> out;
  for (std::int64_t i = 0; i < layers; ++i)
    out.push_back(static_cast<std::int64_t>(low + step * static_cast<double>(i)));
  return out;
}

at::Tensor TokenMerger::operator()(const at::Tensor& x, const at::Tensor& metric, std::int64_t r) {
  const std::optional<TokenMatching> matching = match_tokens(metric, r, keep_);
  if (!matching) return x;
  const at::Tensor sizes = sizes_.defined() ? sizes_ : at::ones({x.size(0), x.size(1), 1}, x.options());
  const at::Tensor sum = matching->merge(x.mul(sizes));
  sizes_ = matching->merge(sizes);
  if (track_source_) {
    const at::Tensor places = matching->places();
    source_ = source_.defined() ? at::gather(places, 1, source_) : places;
  }
  return sum.div(sizes_);
}

at::Tensor TokenMerger::log_sizes() const {
  return sizes_.defined() ? sizes_.squeeze(2).log().unsqueeze(1).unsqueeze(2) : at::Tensor();
}

}  // namespace pollard::models
