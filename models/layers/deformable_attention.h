// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "models/layers/linear.h"
#include "models/layers/windows.h"

namespace pollard::models {

/// The centres of a map's positions, row by row, as grid sampling counts: (x, y) from -1 to 1, each [h * w].
struct Centres {
  at::Tensor x, y;
};
Centres map_centres(Grid map, const at::TensorOptions& options);
/// Those of several maps, one after the other.
Centres map_centres(const std::vector<Grid>& maps, const at::TensorOptions& options);

/// Multi-scale deformable attention (Zhu et al., 2021, arXiv 2010.04159): each query looks at `points` places of each of
/// `levels` maps, in each head at offsets from its own place that it chooses itself,
///
///     out = output_proj( sum over level l, point p of  a[h,l,p] * value_proj(memory)_l (place + offset[h,l,p] / size_l) )
///
/// with a = softmax over the levels * points of attention_weights(query), bilinear reading and zeros outside. Offsets are
/// (x, y) in positions of their map.
///
/// Couplings: a head is its rows of all three projections of the query and the memory, and its columns of output_proj; its
/// width is value rows and output columns alone. Levels and points are softmaxed over.
/// Fresh: equal weights, offsets anywhere within `points` positions, whatever the query. (The paper spreads the heads
/// over the compass, point p at distance p + 1, the same range in a regular order.)
struct DeformableAttention : Module {
  Linear sampling_offsets, attention_weights, value_proj, output_proj;
  std::int64_t heads, levels, points;
  DeformableAttention(std::int64_t width, std::int64_t heads, std::int64_t levels, std::int64_t points);
  /// query [B, N, C], memory [B, S, C] of the maps one after the other, `places` of the N queries.
  at::Tensor operator()(const at::Tensor& query, const at::Tensor& memory, const Centres& places,
                        const std::vector<Grid>& maps) const;

 private:
  at::Tensor sampled(const at::Tensor& map, const at::Tensor& offsets, const Centres& places,
                     Grid size) const;
};

}  // namespace pollard::models
