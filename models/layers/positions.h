// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "models/module.h"

namespace pollard::models {

/// The table of Vaswani et al., 2017 (arXiv 1706.03762): [length, width], width even: row t holds at 2i
/// sin(t exp(-2i ln(10000) / width)) and at 2i+1 the cosine of the same; float32, in this order of operations.
at::Tensor sinusoidal_table(std::int64_t width, std::int64_t length);

/// The table as the persistent buffer "pe".
struct SinusoidalPositions : Module {
  at::Tensor pe;
  SinusoidalPositions(std::int64_t width, std::int64_t length);
};

/// Sine positions of a map (Carion et al., 2020, arXiv 2005.12872): the first half of the channels counts rows, the second
/// columns, each from 2 pi / n to 2 pi, alternately as sine and cosine of position / 10000^(2 floor(i/2) / (width/2)).
/// Channel c is sine[c] sin(y down[c] + x across[c]) + cosine[c] cos(..), so that removing a channel slices four buffers
/// (not saved, [width]); width is a multiple of 4.
struct MapPositions : Module {
  at::Tensor down, across, sine, cosine;
  explicit MapPositions(std::int64_t width);
  /// [h * w, width], row by row.
  at::Tensor operator()(std::int64_t h, std::int64_t w, const at::TensorOptions& options) const;
};

}  // namespace pollard::models
