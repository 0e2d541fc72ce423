// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "models/layers/mlstm.h"
#include "models/layers/windows.h"

namespace pollard::models {

/// The order in which a recurrence visits the tokens of a map: row by row or column by column, forwards or backwards.
/// Columns need a square map, because a layer's convolution keeps the map's shape.
enum class Traversal : std::uint8_t { Rows, RowsBack, Columns, ColumnsBack };
/// x [B, S, C], tokens row by row, in the order of the traversal; and such tokens row by row again.
at::Tensor reordered(const at::Tensor& x, Traversal traversal, Grid map);
at::Tensor restored(const at::Tensor& x, Traversal traversal, Grid map);

/// One pass of a Vision-LSTM layer (Alkin et al., 2024, arXiv 2406.04303) over tokens x with gate z, both [B, S, width]:
///
///     c = silu(conv x),   h = cell(q c, k c, v x),   out = (h + skip * c) * silu(z)
///
/// Keys: learnable_skip, q_proj, k_proj, v_proj, `conv`, mlstm_cell, each followed by `suffix`.
struct MlstmBranch : Module {
  struct Options {
    MlstmCell::Options cell;
    Grid map{1, 1};
    std::int64_t kernel = 4, block = 4;
    bool conv2d = false;  ///< a square kernel over the map instead of a causal one along the tokens
    Bias bias = Bias::No;
    std::string conv = "conv1d", suffix;
  };
  at::Tensor skip;
  BlockDiagonal q, k, v;
  std::optional<CausalConv1d> causal;
  std::optional<Conv2d> conv2d;
  MlstmCell cell;
  Grid map;
  explicit MlstmBranch(const Options& o);
  at::Tensor operator()(const at::Tensor& x, const at::Tensor& z) const;

 private:
  at::Tensor convolved(const at::Tensor& x) const;
};

/// proj_down(sum of the passes over [x | z] = proj_up(tokens)), tokens [B, S, width]. The passes of the design study
/// share proj_up and proj_down; `shared` ones share all else too.
struct VilLayer : Module {
  struct Options {
    std::int64_t width;
    MlstmBranch::Options branch;
    std::vector<Traversal> passes{Traversal::Rows};
    bool shared = false;
  };
  Linear proj_up;
  std::vector<std::unique_ptr<MlstmBranch>> branches;
  Linear proj_down;
  std::vector<Traversal> passes;
  Grid map;
  explicit VilLayer(const Options& o);
  at::Tensor operator()(const at::Tensor& x) const;
};

/// x + layer(norm(x)), the layer run in one direction, as children `norm` and `layer`.
struct VilBlock : Module {
  struct Options {
    VilLayer::Options layer;
    Traversal traversal = Traversal::Rows;
    Bias norm_bias = Bias::No;
    double drop_path = 0, dropout = 0, layer_scale = 0;  ///< layer_scale 0: none
    std::string norm_name = "norm", layer_name = "layer";
  };
  ResidualLayerNorm norm;
  VilLayer layer;
  at::Tensor gamma;
  Options options;
  explicit VilBlock(const Options& o);
  at::Tensor operator()(const at::Tensor& x) const;
};

/// Fresh weights of the network around the cells: projections up and to q, k, v N(0, sqrt(2 / (5 width))), projections
/// down N(0, 2 / (blocks sqrt(width))), biases of projections 0. Nothing for any other key.
std::optional<Init> vil_init(const std::string& key, at::IntArrayRef shape, std::int64_t width,
                             std::int64_t blocks);

}  // namespace pollard::models
