// SPDX-License-Identifier: Apache-2.0
#include "models/layers/focused_attention.h"

#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/softplus.h>
#include <ATen/ops/upsample_linear1d.h>

#include <cmath>

namespace pollard::models {
namespace {

at::Tensor length(const at::Tensor& x) { return at::linalg_vector_norm(x, 2, {-1}, true); }

}  // namespace

FocusedAttention::FocusedAttention(const Options& o)
    : heads(o.heads),
      factor(o.factor),
      prefix(o.prefix),
      dwc(o.width / o.heads, o.width / o.heads, o.kernel,
          {.padding = o.kernel / 2, .groups = o.width / o.heads}) {
  parameter("scale", scale, {1, 1, o.width});
  parameter("positional_encoding", positional_encoding, {1, o.keys, o.width});
  child("dwc", dwc);
}

at::Tensor FocusedAttention::focus(const at::Tensor& x) const {
  const at::Tensor a = at::relu(x).add(1e-6).div(at::softplus(scale));
  const at::Tensor sharp = at::pow(a, factor);
  return sharp.div(length(sharp)).mul(length(a));
}

/// v [B, heads, N, d] through the convolution, as [B, N, C].
at::Tensor FocusedAttention::local(const at::Tensor& v, Grid map) const {
  const std::int64_t b = v.size(0), d = v.size(3);
  at::Tensor x = v.slice(2, prefix).transpose(2, 3).reshape({b * heads, d, v.size(2) - prefix});
  // Fewer keys than queries: along the flattened map.
  if (x.size(2) != map.positions()) x = at::upsample_linear1d(x, {map.positions()}, false);
  x = dwc(x.view({b * heads, d, map.h, map.w})).view({b, heads, d, map.positions()});
  x = x.permute({0, 3, 1, 2}).reshape({b, map.positions(), heads * d});
  return prefix > 0 ? at::constant_pad_nd(x, {0, 0, prefix, 0}) : x;
}

at::Tensor FocusedAttention::operator()(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                        Grid map) const {
  const at::Tensor qh = split_heads(focus(q), heads);
  const at::Tensor kh = split_heads(focus(k.add(positional_encoding)), heads);
  const at::Tensor vh = split_heads(v, heads);
  const double each = 1 / std::sqrt(static_cast<double>(k.size(1)));
  const at::Tensor total = at::matmul(qh, kh.mean(2, true).transpose(2, 3)).add(1e-6);
  const at::Tensor mixed = at::matmul(kh.mul(each).transpose(2, 3), vh.mul(each));
  return merge_heads(at::matmul(qh, mixed).div(total)).add(local(vh, map));
}

FocusedSelfAttention::FocusedSelfAttention(const FocusedAttention::Options& o)
    : qkv(o.width, 3 * o.width), proj(o.width, o.width), focused(o) {
  children({{"", focused}, {"qkv", qkv}, {"proj", proj}});
}

at::Tensor FocusedSelfAttention::operator()(const at::Tensor& x, Grid map) const {
  const auto parts = qkv(x).chunk(3, -1);
  return proj(focused(parts[0], parts[1], parts[2], map));
}

}  // namespace pollard::models
