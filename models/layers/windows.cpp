// SPDX-License-Identifier: Apache-2.0
#include "models/layers/windows.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

namespace pollard::models {
namespace {

Grid windows_of(Grid map, Grid window) {
  return {(map.h + window.h - 1) / window.h, (map.w + window.w - 1) / window.w};
}

/// The index of every pair of positions in a table of relative places.
at::Tensor relative_places(Grid window) {
  const at::Tensor place = at::arange(window.positions());
  const at::Tensor y = place.floor_divide(window.w), x = place.remainder(window.w);
  const auto apart = [](const at::Tensor& t) { return t.unsqueeze(1).sub(t.unsqueeze(0)); };
  return apart(y).add(window.h - 1).mul(2 * window.w - 1).add(apart(x).add(window.w - 1));
}

/// Which of three bands of the rolled side each position lies in.
at::Tensor bands(std::int64_t side, std::int64_t window, std::int64_t shift, at::Device device) {
  at::Tensor band = at::zeros({side}, at::TensorOptions().dtype(at::kLong).device(device));
  if (shift == 0) return band;
  band.slice(0, side - window, side - shift).fill_(1);
  band.slice(0, side - shift).fill_(2);
  return band;
}

}  // namespace

at::Tensor padded(const at::Tensor& x, Grid to) {
  const std::int64_t down = to.h - x.size(1), right = to.w - x.size(2);
  return down == 0 && right == 0 ? x : at::constant_pad_nd(x, {0, 0, 0, right, 0, down});
}

at::Tensor cropped(const at::Tensor& x, Grid to) {
  return x.size(1) == to.h && x.size(2) == to.w ? x : x.slice(1, 0, to.h).slice(2, 0, to.w);
}

Windows::Windows(const at::Tensor& x, Grid window)
    : batch_(x.size(0)), map_{x.size(1), x.size(2)}, window_(window), windows_(windows_of(map_, window)) {
  const auto [h, w] = window;
  const auto [rows, columns] = windows_;
  parts_ = padded(x, {rows * h, columns * w})
               .view({batch_, rows, h, columns, w, x.size(3)})
               .permute({0, 1, 3, 2, 4, 5})
               .reshape({batch_ * rows * columns, h * w, x.size(3)});
}

at::Tensor Windows::join(const at::Tensor& parts) const {
  const auto [h, w] = window_;
  const auto [rows, columns] = windows_;
  const at::Tensor map = parts.view({batch_, rows, columns, h, w, parts.size(2)})
                             .permute({0, 1, 3, 2, 4, 5})
                             .reshape({batch_, rows * h, columns * w, parts.size(2)});
  return cropped(map, map_);
}

WindowLayout::WindowLayout(Grid m, std::int64_t side, bool shift_it) : map(m), window{}, shift{} {
  window = {std::min(side, map.h), std::min(side, map.w)};
  if (shift_it) shift = {map.h > side ? side / 2 : 0, map.w > side ? side / 2 : 0};
}

WindowLayout WindowLayout::whole(Grid map, std::int64_t side, bool shift_it) {
  const Grid n = windows_of(map, {side, side});
  WindowLayout layout({n.h * side, n.w * side}, side, false);
  if (shift_it) layout.shift = {side / 2, side / 2};
  return layout;
}

std::int64_t WindowLayout::windows() const { return windows_of(map, window).positions(); }

at::Tensor WindowLayout::mask(const at::TensorOptions& options) const {
  const Grid n = windows_of(map, window), full{n.h * window.h, n.w * window.w};
  const at::Tensor rows = bands(full.h, window.h, shift.h, options.device()),
                   columns = bands(full.w, window.w, shift.w, options.device());
  const at::Tensor region = rows.mul(3).unsqueeze(1).add(columns).view({1, full.h, full.w, 1});
  const at::Tensor parts = Windows(region, window).parts().squeeze(2);
  return parts.unsqueeze(1).ne(parts.unsqueeze(2)).to(c10::typeMetaToScalarType(options.dtype())).mul(-100);
}

RelativePositionBias::RelativePositionBias(Grid w, std::int64_t heads, bool persistent_index) : window(w) {
  parameter("relative_position_bias_table", table, {(2 * w.h - 1) * (2 * w.w - 1), heads},
            Init::truncated_normal(0.02));
  buffer("relative_position_index", index, relative_places(w), persistent_index);
}

at::Tensor RelativePositionBias::operator()(const at::Tensor& mask, std::int64_t images) const {
  const std::int64_t n = window.positions(), heads = table.size(1);
  const at::Tensor bias =
      at::index_select(table, 0, index.flatten()).view({n, n, heads}).permute({2, 0, 1}).unsqueeze(0);
  if (!mask.defined()) return bias;
  const std::int64_t windows = mask.size(0);
  return bias.add(mask.unsqueeze(1))
      .unsqueeze(0)
      .expand({images, windows, heads, n, n})
      .reshape({images * windows, heads, n, n});
}

WindowAttention::WindowAttention(std::int64_t width, std::int64_t heads, Grid window, bool persistent_index,
                                 FusedAttention::Dropout dropout)
    : attention(width, heads, Bias::Yes, dropout), bias(window, heads, persistent_index) {
  children({{"", bias}, {"", attention}});
}

PatchMerging::PatchMerging(std::int64_t width, std::int64_t out)
    : norm(4 * width), reduction(4 * width, out, Bias::No) {
  children({{"norm", norm}, {"reduction", reduction}});
}

at::Tensor PatchMerging::operator()(const at::Tensor& x) const {
  const std::int64_t h = (x.size(1) + 1) / 2, w = (x.size(2) + 1) / 2;
  const at::Tensor quarters = padded(x, {2 * h, 2 * w}).view({x.size(0), h, 2, w, 2, x.size(3)});
  return reduction(norm(quarters.permute({0, 1, 3, 4, 2, 5}).reshape({x.size(0), h, w, 4 * x.size(3)})));
}

}  // namespace pollard::models
