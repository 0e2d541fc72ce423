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

at::Tensor padded(const at::Tensor& x, Grid to) {
  const std::int64_t down = to.h - x.size(1), right = to.w - x.size(2);
  return down == 0 && right == 0 ? x : at::constant_pad_nd(x, {0, 0, 0, right, 0, down});
}

/// The index of every pair of positions in a table of relative places.
at::Tensor relative_places(Grid window) {
  const at::Tensor place = at::arange(window.positions());
  const at::Tensor y = place.floor_divide(window.w), x = place.remainder(window.w);
  const auto apart = [](const at::Tensor& t) { return t.unsqueeze(1).sub(t.unsqueeze(0)); };
  return apart(y).add(window.h - 1).mul(2 * window.w - 1).add(apart(x).add(window.w - 1));
}

/// Which of three bands of the rolled side each position lies in.
at::Tensor bands(std::int64_t side, std::int64_t window, std::int64_t shift) {
  at::Tensor band = at::zeros({side}, at::kLong);
  if (shift == 0) return band;
  band.slice(0, side - window, side - shift).fill_(1);
  band.slice(0, side - shift).fill_(2);
  return band;
}

}  // namespace

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
  if (rows * h == map_.h && columns * w == map_.w) return map;
  return map.slice(1, 0, map_.h).slice(2, 0, map_.w);
}

WindowLayout::WindowLayout(Grid m, std::int64_t side, bool shift_it) : map(m), window{}, shift{} {
  window = {std::min(side, map.h), std::min(side, map.w)};
  if (shift_it) shift = {map.h > side ? side / 2 : 0, map.w > side ? side / 2 : 0};
}

std::int64_t WindowLayout::windows() const { return windows_of(map, window).positions(); }

at::Tensor WindowLayout::mask() const {
  const Grid n = windows_of(map, window), full{n.h * window.h, n.w * window.w};
  const at::Tensor rows = bands(full.h, window.h, shift.h), columns = bands(full.w, window.w, shift.w);
  const at::Tensor region = rows.mul(3).unsqueeze(1).add(columns).view({1, full.h, full.w, 1});
  const at::Tensor parts = Windows(region, window).parts().squeeze(2);
  return parts.unsqueeze(1).ne(parts.unsqueeze(2)).to(at::kFloat).mul(-100);
}

WindowAttention::WindowAttention(std::int64_t width, std::int64_t heads, Grid w, bool persistent_index,
                                 FusedAttention::Dropout dropout)
    : attention(width, heads, Bias::Yes, dropout), window(w) {
  parameter("relative_position_bias_table", table, {(2 * w.h - 1) * (2 * w.w - 1), heads},
            Init::truncated_normal(0.02));
  buffer("relative_position_index", index, relative_places(w), persistent_index);
  child("", attention);
}

at::Tensor WindowAttention::operator()(const at::Tensor& x, const at::Tensor& mask,
                                       std::int64_t images) const {
  const std::int64_t n = window.positions(), heads = table.size(1);
  at::Tensor bias = at::index_select(table, 0, index.flatten()).view({n, n, heads}).permute({2, 0, 1});
  bias = bias.unsqueeze(0);
  if (mask.defined()) {
    const std::int64_t windows = mask.size(0);
    bias = bias.add(mask.unsqueeze(1))
               .unsqueeze(0)
               .expand({images, windows, heads, n, n})
               .reshape({images * windows, heads, n, n});
  }
  return attention(x, bias);
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
