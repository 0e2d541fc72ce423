// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "models/layers/attention.h"

namespace pollard::models {

/// Rows and columns.
struct Grid {
  std::int64_t h, w;
  std::int64_t positions() const { return h * w; }
};

/// x [B, H, W, C] zero-padded at the bottom and right, and cut off there.
at::Tensor padded(const at::Tensor& x, Grid to);
at::Tensor cropped(const at::Tensor& x, Grid to);

/// A map x [B, H, W, C] cut into windows, zero-padded at the bottom and right where they do not fit.
class Windows {
 public:
  Windows(const at::Tensor& x, Grid window);
  /// [B * windows, window positions, C]: windows of one image together, row by row.
  const at::Tensor& parts() const { return parts_; }
  /// B * windows.
  std::int64_t count() const { return parts_.size(0); }
  /// Such parts back as a map, without the padding. Their width may differ from x's.
  at::Tensor join(const at::Tensor& parts) const;

 private:
  std::int64_t batch_;
  Grid map_, window_, windows_;
  at::Tensor parts_;
};

/// How a Swin block of Liu et al., 2021 (arXiv 2103.14030) cuts its map. Along a side no longer than the window, the
/// window is that side, without shift.
struct WindowLayout {
  Grid map, window, shift;
  WindowLayout(Grid map, std::int64_t window, bool shifted);
  /// As backbones of images of any size cut theirs: `map` padded to whole windows, window and shift as given. What is
  /// cut must be padded() to .map.
  static WindowLayout whole(Grid map, std::int64_t window, bool shifted);
  bool shifted() const { return shift.h > 0 || shift.w > 0; }
  std::int64_t windows() const;  ///< of one image, padded
  /// [windows, positions, positions]: 0 between neighbours, -100 between positions the roll brought together.
  at::Tensor mask(const at::TensorOptions& options = at::kFloat) const;
};

/// A learned bias for every pair of a window's positions and every head, relative_position_bias_table [(2h-1) (2w-1),
/// heads] read at (dy + h - 1) (2w - 1) + dx + w - 1.
struct RelativePositionBias : Module {
  at::Tensor table, index;
  Grid window;
  /// Old checkpoints hold the index as a buffer: `persistent_index`.
  RelativePositionBias(Grid window, std::int64_t heads, bool persistent_index);
  /// To be added to attention scores [windows, heads, positions, positions]. `mask` [windows of an image, positions,
  /// positions] or undefined; `images` is the batch size.
  at::Tensor operator()(const at::Tensor& mask, std::int64_t images) const;
};

/// Swin's attention over x [windows, positions, C]: FusedAttention with a RelativePositionBias under the same name.
struct WindowAttention : Module {
  FusedAttention attention;
  RelativePositionBias bias;
  WindowAttention(std::int64_t width, std::int64_t heads, Grid window, bool persistent_index,
                  FusedAttention::Dropout dropout = {});
  /// mask and images: RelativePositionBias.
  at::Tensor operator()(const at::Tensor& x, const at::Tensor& mask, std::int64_t images) const {
    return attention(x, bias(mask, images));
  }
};

/// Rolls, cuts, runs `attend(parts [windows, positions, C])`, joins and rolls back: x [B, H, W, C].
template <class Attend>
at::Tensor in_windows(const at::Tensor& x, const WindowLayout& layout, Attend attend) {
  const Grid s = layout.shift;
  const Windows windows(layout.shifted() ? x.roll({-s.h, -s.w}, {1, 2}) : x, layout.window);
  const at::Tensor y = windows.join(attend(windows.parts()));
  return layout.shifted() ? y.roll({s.h, s.w}, {1, 2}) : y;
}

/// Halves a map x [B, H, W, C] to [B, H/2, W/2, out]: four neighbours side by side (column by column), "norm" (4 C),
/// "reduction" without bias. Odd sides are zero-padded.
struct PatchMerging : Module {
  LayerNorm norm;
  Linear reduction;
  PatchMerging(std::int64_t width, std::int64_t out);
  at::Tensor operator()(const at::Tensor& x) const;
};

}  // namespace pollard::models
