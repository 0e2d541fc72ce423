// SPDX-License-Identifier: Apache-2.0
#include "models/layers/deformable_attention.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/grid_sampler.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/stack.h>

namespace pollard::models {
namespace {

constexpr std::int64_t kBilinear = 0, kZeros = 0;

/// (2 i + 1) / n - 1 for i of n.
at::Tensor centres(std::int64_t n, const at::TensorOptions& options) {
  return at::arange(n, options).add(0.5).mul(2.0 / static_cast<double>(n)).sub(1);
}

}  // namespace

Centres map_centres(Grid map, const at::TensorOptions& options) {
  const std::int64_t n = map.positions();
  return {centres(map.w, options).unsqueeze(0).expand({map.h, map.w}).reshape({n}),
          centres(map.h, options).unsqueeze(1).expand({map.h, map.w}).reshape({n})};
}

Centres map_centres(const std::vector<Grid>& maps, const at::TensorOptions& options) {
  std::vector<at::Tensor> x, y;
  for (const Grid map : maps) {
    const Centres one = map_centres(map, options);
    x.push_back(one.x), y.push_back(one.y);
  }
  return {at::cat(x), at::cat(y)};
}

DeformableAttention::DeformableAttention(std::int64_t width, std::int64_t h, std::int64_t l, std::int64_t p)
    : sampling_offsets(width, h * l * p * 2),
      attention_weights(width, h * l * p),
      value_proj(width, width),
      output_proj(width, width),
      heads(h),
      levels(l),
      points(p) {
  children({{"sampling_offsets", sampling_offsets},
            {"attention_weights", attention_weights},
            {"value_proj", value_proj},
            {"output_proj", output_proj}});
  set_init(
      [reach = static_cast<double>(p)](const std::string& key, at::IntArrayRef shape) -> std::optional<Init> {
        if (key == "sampling_offsets.bias") return Init::uniform(reach);
        if (shape.size() == 2 && key.find("_proj.") != std::string::npos) return Init::xavier_uniform();
        return Init::zeros();
      });
}

/// map [B * heads, d, h, w], offsets [B, N, heads, points, 2] -> [B * heads, d, N, points].
at::Tensor DeformableAttention::sampled(const at::Tensor& map, const at::Tensor& offsets,
                                        const Centres& places, Grid size) const {
  const std::int64_t batch = offsets.size(0), n = offsets.size(1);
  const auto moved = [&](const at::Tensor& place, std::int64_t direction, std::int64_t length) {
    return offsets.select(4, direction).mul(2.0 / static_cast<double>(length)).add(place.view({1, n, 1, 1}));
  };
  const at::Tensor grid = at::stack({moved(places.x, 0, size.w), moved(places.y, 1, size.h)}, 4)
                              .transpose(1, 2)
                              .reshape({batch * heads, n, points, 2});
  return at::grid_sampler(map, grid, kBilinear, kZeros, false);
}

at::Tensor DeformableAttention::operator()(const at::Tensor& query, const at::Tensor& memory,
                                           const Centres& places, const std::vector<Grid>& maps) const {
  const std::int64_t batch = query.size(0), n = query.size(1), s = memory.size(1),
                     d = value_proj.weight.size(0) / heads;
  const at::Tensor values = value_proj(memory).view({batch, s, heads, d});
  const at::Tensor offsets = sampling_offsets(query).view({batch, n, heads, levels, points, 2});
  const at::Tensor weights =
      at::softmax(attention_weights(query).view({batch, n, heads, levels * points}), -1);
  std::vector<at::Tensor> seen;
  for (std::size_t l = 0, begin = 0; l < maps.size(); ++l) {
    const auto from = static_cast<std::int64_t>(begin), to = from + maps[l].positions();
    const at::Tensor map =
        values.slice(1, from, to).permute({0, 2, 3, 1}).reshape({batch * heads, d, maps[l].h, maps[l].w});
    seen.push_back(sampled(map, offsets.select(3, static_cast<std::int64_t>(l)), places, maps[l]));
    begin = static_cast<std::size_t>(to);
  }
  const at::Tensor mixed =
      at::cat(seen, 3).mul(weights.transpose(1, 2).reshape({batch * heads, 1, n, levels * points})).sum(-1);
  return output_proj(mixed.view({batch, heads, d, n}).permute({0, 3, 1, 2}).reshape({batch, n, heads * d}));
}

}  // namespace pollard::models
