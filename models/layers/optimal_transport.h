// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "models/layers/linear.h"

namespace pollard::models {

/// Where units stand, one tensor [units] a direction: along a line, or down and across a map.
using Places = std::vector<at::Tensor>;

/// 0, 1/n, 2/n, ...: positions of a sequence.
Places places_on_line(std::int64_t n, at::TensorOptions options);
/// ((y+1)/h, (x+1)/w) of a map's positions, row by row.
Places places_on_map(std::int64_t h, std::int64_t w, at::TensorOptions options);

/// exp(-|a_i - b_j|^2 / sigma^2), [a's units, b's units].
at::Tensor nearness(const Places& a, const Places& b, double sigma);

/// How n features are spread over m references at the least entropy-regularised cost (Sinkhorn's iterations, as in
/// Mialon et al., 2021, arXiv 2006.12065). With G = exp(near * similarity / eps):
///
///     v = 1;  repeat: u = 1 / (G v), v = 1 / (G^T u);  T = near * (diag(u) G diag(v))
///
/// similarity [.., n, m]; near [n, m] or undefined for 1. Without `near`, T's columns sum to 1 and its rows all tend to
/// m/n. The usual constant m/n in u cancels in T and is left out, so that n may be a symbolic size.
at::Tensor transport_plan(const at::Tensor& similarity, const at::Tensor& near, double eps,
                          std::int64_t iterations);

/// Self-optimal transport attention, as this project defines it (families/setformer.h): tokens x [B, n, C] are gathered
/// by m learned references of each head and given back, in place of softmax attention:
///
///     q, v = qv(x); T = transport_plan(psi(q) psi(reference)^T); out = proj((n/m) T (T^T v))
///
/// psi scales to length 1 and, with anchors W [a, d], goes on to exp(alpha (s W^T - 1)) (K_WW)^-1/2: Nystroem's finite
/// map of the Gaussian kernel, the root by eigenvalues. Couplings: a head's q rows, references and anchors share d; its v
/// rows and proj's columns share another. Removing references leaves T a plan over the kept ones.
/// Parameters: qv [2C, C] (rows q then v), proj, reference [heads, m, d], anchor [heads, a, d] when a > 0.
struct TransportAttention : Module {
  struct Options {
    std::int64_t width, heads, references, anchors = 0;
    double eps = 0.1, alpha = 1, sigma = 0;  ///< sigma 0: places do not matter
    std::int64_t iterations = 5;
    bool on_map = false;  ///< references stand on a square grid instead of a line; only with sigma > 0
  };
  Options options;
  Linear qv, proj;
  at::Tensor reference, anchor;
  Places reference_places;  ///< buffers that are not saved
  explicit TransportAttention(const Options& o);
  /// `places` of the n tokens; not read when sigma is 0.
  at::Tensor operator()(const at::Tensor& x, const Places& places) const;

 private:
  std::optional<at::Tensor> root() const;
  at::Tensor mapped(const at::Tensor& x, const std::optional<at::Tensor>& root) const;
};

}  // namespace pollard::models
