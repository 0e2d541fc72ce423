// SPDX-License-Identifier: Apache-2.0
#include "models/layers/optimal_transport.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/diag_embed.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/linalg_eigh.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/reciprocal.h>

#include <cmath>

#include "models/layers/attention.h"

namespace pollard::models {
namespace {

at::Tensor unit(const at::Tensor& x) {
  return x.div(at::linalg_vector_norm(x, 2, {-1}, true).clamp_min(1e-6));
}

at::Tensor transposed(const at::Tensor& x) { return x.transpose(-2, -1); }

}  // namespace

Places places_on_line(std::int64_t n, at::TensorOptions options) { return {at::arange(n, options).div(n)}; }

Places places_on_map(std::int64_t h, std::int64_t w, at::TensorOptions options) {
  const at::Tensor down = at::arange(1, h + 1, options).div(h), across = at::arange(1, w + 1, options).div(w);
  return {down.unsqueeze(1).expand({h, w}).reshape({h * w}),
          across.unsqueeze(0).expand({h, w}).reshape({h * w})};
}

at::Tensor nearness(const Places& a, const Places& b, double sigma) {
  at::Tensor distance;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const at::Tensor apart = a[i].unsqueeze(1).sub(b[i].unsqueeze(0)).div(sigma).square();
    distance = distance.defined() ? distance.add(apart) : apart;
  }
  return at::exp(distance.neg());
}

at::Tensor transport_plan(const at::Tensor& similarity, const at::Tensor& near, double eps,
                          std::int64_t iterations) {
  const at::Tensor g = at::exp((near.defined() ? similarity.mul(near) : similarity).div(eps));
  const at::Tensor gt = transposed(g);
  at::Tensor u, v = at::ones({g.size(0), g.size(1), g.size(3), 1}, g.options());
  for (std::int64_t i = 0; i < iterations; ++i) {
    u = at::reciprocal(at::matmul(g, v));
    v = at::reciprocal(at::matmul(gt, u));
  }
  const at::Tensor plan = g.mul(u).mul(transposed(v));
  return near.defined() ? plan.mul(near) : plan;
}

TransportAttention::TransportAttention(const Options& o)
    : options(o), qv(o.width, 2 * o.width), proj(o.width, o.width) {
  const std::int64_t d = o.width / o.heads;
  parameter("reference", reference, {o.heads, o.references, d}, Init::normal(1));
  if (o.anchors > 0) parameter("anchor", anchor, {o.heads, o.anchors, d}, Init::normal(1));
  children({{"qv", qv}, {"proj", proj}});
  if (o.sigma == 0) return;
  const auto side = static_cast<std::int64_t>(std::lround(std::sqrt(static_cast<double>(o.references))));
  reference_places =
      o.on_map ? places_on_map(side, side, at::kFloat) : places_on_line(o.references, at::kFloat);
  for (std::size_t i = 0; i < reference_places.size(); ++i)
    buffer("place" + std::to_string(i), reference_places[i], reference_places[i], false);
}

/// K_WW^-1/2 [heads, a, a]; small eigenvalues are held up by 0.01.
std::optional<at::Tensor> TransportAttention::root() const {
  if (!anchor.defined()) return std::nullopt;
  const at::Tensor w = unit(anchor);
  const auto [values, vectors] =
      at::linalg_eigh(at::exp(at::matmul(w, transposed(w)).sub(1).mul(options.alpha)));
  const at::Tensor weights = at::reciprocal(values.clamp_min(0).sqrt().add(0.01));
  return at::matmul(at::matmul(vectors, at::diag_embed(weights)), transposed(vectors));
}

at::Tensor TransportAttention::mapped(const at::Tensor& x, const std::optional<at::Tensor>& root) const {
  const at::Tensor s = unit(x);
  if (!root) return s;
  return at::matmul(at::exp(at::matmul(s, transposed(unit(anchor))).sub(1).mul(options.alpha)), *root);
}

at::Tensor TransportAttention::operator()(const at::Tensor& x, const Places& places) const {
  const auto parts = qv(x).chunk(2, -1);
  const std::optional<at::Tensor> z = root();
  const at::Tensor q = mapped(split_heads(parts[0], options.heads), z),
                   v = split_heads(parts[1], options.heads);
  const at::Tensor near =
      options.sigma > 0 ? nearness(places, reference_places, options.sigma) : at::Tensor();
  const at::Tensor plan =
      transport_plan(at::matmul(q, transposed(mapped(reference, z))), near, options.eps, options.iterations);
  const at::Tensor gathered = at::matmul(transposed(plan), v);
  // m, as a sum that follows when references are removed.
  const at::Tensor count = at::ones_like(gathered).sum(2, true);
  return proj(merge_heads(at::matmul(plan, gathered).mul(x.size(1)).div(count)));
}

}  // namespace pollard::models
