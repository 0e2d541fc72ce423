// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

#include "models/layers/swin_cell.h"
#include "models/layers/vision_transformer.h"
#include "models/spec.h"

namespace pollard::models {

/// What SwinLSTM-B and SwinLSTM-D share, with the names of the authors' options; t_in frames are seen and t_out
/// predicted. Reconstruction doubles the sides, so that patch_size is 2.
struct SwinLstmSpec {
  std::int64_t img_size = 64, patch_size = 2, in_chans = 1, embed_dim = 128, window_size = 4;
  std::int64_t t_in = 10, t_out = 10;
  double mlp_ratio = 4, drop_rate = 0, attn_drop_rate = 0, drop_path_rate = 0.1;

  std::int64_t side() const { return img_size / patch_size; }
  /// A cell where the map was halved, and the width doubled, `halvings` times.
  SwinCell::Options cell(std::size_t halvings, std::int64_t heads, std::vector<double> rates) const {
    const std::int64_t width = embed_dim << halvings;
    return {.width = width,
            .side = side() >> halvings,
            .heads = heads,
            .window = window_size,
            .hidden = static_cast<std::int64_t>(static_cast<double>(width) * mlp_ratio),
            .dropout = {.weights = attn_drop_rate, .output = drop_rate},
            .drop_path = std::move(rates)};
  }

 protected:
  void shared_fields(Fields& f) {
    f.integer("img_size", img_size, {2, 1 << 12});
    f.integer("patch_size", patch_size, {2, 2});
    f.integer("in_chans", in_chans, {1, 4096});
    f.integer("embed_dim", embed_dim, {1, 1 << 14});
    f.integer("window_size", window_size, {1, 256});
    f.integer("t_in", t_in, {1, 1024});
    f.integer("t_out", t_out, {1, 1024});
    f.real("mlp_ratio", mlp_ratio);
    f.real("drop_rate", drop_rate);
    f.real("attn_drop_rate", attn_drop_rate);
    f.real("drop_path_rate", drop_path_rate);
    f.require(img_size % patch_size == 0, "patch_size divides img_size");
    f.require(mlp_ratio > 0 && mlp_ratio <= 64, "mlp_ratio lies in (0, 64]");
  }
  void check_cell(Fields& f, std::int64_t width, std::int64_t map, std::int64_t heads) const {
    f.require(width % heads == 0, "num_heads divides the cell's width");
    f.require(map <= window_size || map % window_size == 0, "windows fill the map");
  }
};

struct SwinLstmBSpec : SwinLstmSpec {
  std::vector<std::int64_t> depths{12}, num_heads{4, 8};  ///< an entry a cell; further num_heads are not used

  void fields(Fields& f) {
    shared_fields(f);
    f.integers("depths", depths, {1, 256}, 16);
    f.integers("num_heads", num_heads, {1, 1024}, 16);
    f.require(!depths.empty() && depths.size() <= num_heads.size(),
              "num_heads has an entry for each of depths");
    for (std::size_t i = 0; i < depths.size(); ++i) check_cell(f, embed_dim, side(), num_heads[i]);
  }
};

struct SwinLstmDSpec : SwinLstmSpec {
  std::vector<std::int64_t> depths_down{2, 6}, depths_up{6, 2}, num_heads{4, 8};  ///< an entry a level

  void fields(Fields& f) {
    shared_fields(f);
    f.integers("depths_down", depths_down, {1, 256}, 8);
    f.integers("depths_up", depths_up, {1, 256}, 8);
    f.integers("num_heads", num_heads, {1, 1024}, 8);
    f.require(levels() > 0 && depths_up.size() == levels() && num_heads.size() == levels(),
              "depths_down, depths_up and num_heads have an entry a level");
    f.require(side() % (std::int64_t{1} << levels()) == 0, "every level halves the map");
    for (std::size_t i = 0; i <= levels(); ++i)
      check_cell(f, embed_dim << i, side() >> i, num_heads[i < levels() ? i : i - 1]);
  }
  std::size_t levels() const { return depths_down.size(); }
  /// Rates of stochastic depth grow over all blocks of a way; those of a level's blocks.
  std::vector<double> drop_path(const std::vector<std::int64_t>& depths, std::size_t level) const {
    const auto here = depths.begin() + static_cast<std::ptrdiff_t>(level);
    const std::int64_t before = std::accumulate(depths.begin(), here, std::int64_t{0});
    const std::int64_t all = std::accumulate(here, depths.end(), before);
    std::vector<double> rates;
    for (std::int64_t k = 0; k < *here; ++k) rates.push_back(drop_path_at(drop_path_rate, before + k, all));
    return rates;
  }
};

}  // namespace pollard::models
