// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "models/layers/windows.h"

namespace pollard::models {

/// An LSTM cell with one gate for input, forget and output (Tang et al., 2023, arXiv 2308.09891), over maps x, h, c
/// [B, side, side, width]:
///
///     F = Swin blocks of x and h;  g = sigmoid(F);  c = g (c + tanh F);  h = g tanh c
///
/// The first block sees x and h, later even ones the block before and x again, odd ones the block before. Couplings:
/// x, h, c, F and what is inside the blocks' residuals are one stream.
struct SwinCell : Module {
  struct Options {
    std::int64_t width, side, heads, window, hidden;  ///< hidden: of the perceptrons
    FusedAttention::Dropout dropout;
    std::vector<double> drop_path;  ///< a block's rate; as many as blocks
  };
  struct State {
    at::Tensor h, c;
  };
  /// A Swin block that may look at a second map beside its own: "red" makes one of both. Odd ones have a "red" too,
  /// which is never read.
  struct Block : Module {
    WindowLayout layout;
    LayerNorm norm1;
    WindowAttention attn;
    LayerNorm norm2;
    Mlp mlp;
    Linear red;
    at::Tensor mask;
    double drop;
    Block(const Options& o, std::size_t number);
    at::Tensor operator()(const at::Tensor& x, const at::Tensor& beside) const;
  };

  ModuleList<Block> blocks;  ///< "Swin.layers"
  std::int64_t width, side;
  explicit SwinCell(const Options& o);
  State start(const at::Tensor& frames) const;  ///< zeros for frames [B, ...]
  State operator()(const at::Tensor& x, const State& before) const;
};

}  // namespace pollard::models
