// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ops/upsample_bicubic2d.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "models/families/vision_lstm.h"
#include "models/layers/vil_layer.h"
#include "models/layers/vision_transformer.h"

namespace pollard::models {

/// What both versions' specs have in common.
struct VilSpec {
  static constexpr std::int64_t kHeads = 4;  ///< of every cell
  std::int64_t dim = 192, depth = 24, patch_size = 16;
  std::int64_t stride = 0;        ///< 0: patch_size
  std::int64_t mlstm_chunk = 96;  ///< at most so many tokens; chunks are equally long
  std::vector<std::int64_t> input_shape{3, 224, 224}, output_shape{1000};
  std::vector<std::int64_t>
      pos_grid;  ///< of the position table; empty: the input's, in patches without overlap
  std::string mode = "classifier", mlstm = "auto";
  double drop_path_rate = 0;
  bool drop_path_decay = false, legacy_norm = false;

  void common_fields(Fields& f) {
    f.integer("dim", dim, {4, 1 << 14});
    f.integer("depth", depth, {1, 1024});
    f.integer("patch_size", patch_size, {1, 1024});
    f.integer("stride", stride, {0, 1024});
    f.integers("input_shape", input_shape, {1, 1 << 13}, 3);
    f.integers("output_shape", output_shape, {1, 1 << 24}, 1);
    f.integers("pos_grid", pos_grid, {1, 1 << 12}, 2);
    f.text("mode", mode, {"classifier", "features"});
    f.text("mlstm", mlstm, {"auto", "parallel", "chunkwise"});
    f.integer("mlstm_chunk", mlstm_chunk, {1, 1 << 14});
    f.real("drop_path_rate", drop_path_rate);
    f.flag("drop_path_decay", drop_path_decay);
    f.flag("legacy_norm", legacy_norm);
    f.require(dim % 4 == 0, "dim is a multiple of 4");
    f.require(input_shape.size() == 3, "input_shape is [channels, height, width]");
    f.require(output_shape.size() == 1, "output_shape is [classes]");
    f.require(pos_grid.empty() || pos_grid.size() == 2, "pos_grid is [rows, columns] or empty");
    f.require(patch_size <= std::min(input_shape[1], input_shape[2]), "an image holds a patch");
  }
  bool classifies() const { return mode == "classifier"; }
  Grid map() const {
    const std::int64_t step = stride > 0 ? stride : patch_size;
    return {(input_shape[1] - patch_size) / step + 1, (input_shape[2] - patch_size) / step + 1};
  }
  Grid table() const {
    if (!pos_grid.empty()) return {pos_grid[0], pos_grid[1]};
    return {input_shape[1] / patch_size, input_shape[2] / patch_size};
  }
  std::int64_t inner() const { return 2 * dim; }
  /// Chunks read chunk + d positions' worth for every token, the parallel form all tokens'; chunks win from half as
  /// many tokens again (docs/performance.md).
  bool chunkwise() const {
    const std::int64_t read = mlstm_chunk + inner() / kHeads;
    return mlstm == "chunkwise" || (mlstm == "auto" && 2 * map().positions() > 3 * read);
  }
  /// Block number i, to be run forwards.
  VilBlock::Options block(std::int64_t i) const {
    VilBlock::Options o;
    o.layer.width = dim;
    o.layer.branch.map = map();
    const std::int64_t tokens = map().positions(), chunks = (tokens + mlstm_chunk - 1) / mlstm_chunk;
    o.layer.branch.cell = {.width = inner(),
                           .heads = kHeads,
                           .form = chunkwise() ? MlstmForm::Chunkwise : MlstmForm::Parallel,
                           .chunk = (tokens + chunks - 1) / chunks};
    o.drop_path = drop_path_decay ? drop_path_at(drop_path_rate, i, depth) : drop_path_rate;
    return o;
  }
};

/// A configuration as fields of the spec. Goldens count the multiply-accumulates of the form the package runs.
std::string vil_config(std::string_view config, std::string_view arch, const Shapes& shapes);

/// What names and shapes say of either version's spec.
template <class Spec>
void guess_common(Spec& s, const Shapes& shapes) {
  s.dim = shapes.dim("pos_embed.embed", 3);
  s.pos_grid = {shapes.dim("pos_embed.embed", 1), shapes.dim("pos_embed.embed", 2)};
  s.patch_size = shapes.dim("patch_embed.proj.weight", 3);
  s.input_shape = {shapes.dim("patch_embed.proj.weight", 1), s.pos_grid[0] * s.patch_size,
                   s.pos_grid[1] * s.patch_size};
  s.legacy_norm = shapes.has("legacy_norm.weight");
  s.mode = shapes.has("head.weight") ? "classifier" : "features";
  if (s.classifies()) s.output_shape = {shapes.dim("head.weight", 0)};
}

/// Patches of an image with their positions: keys patch_embed.proj and pos_embed.embed [1, rows, columns, dim].
struct VilEmbedding : Module {
  Conv2d proj;
  at::Tensor embed;
  Grid table, map;
  explicit VilEmbedding(const VilSpec& s)
      : proj(s.input_shape[0], s.dim, s.patch_size, {.stride = s.stride > 0 ? s.stride : s.patch_size}),
        table(s.table()),
        map(s.map()) {
    child("patch_embed.proj", proj);
    parameter("pos_embed.embed", embed, {1, table.h, table.w, s.dim}, Init::truncated_normal(0.02));
    const auto fans = static_cast<double>(s.input_shape[0] * s.patch_size * s.patch_size + s.dim);
    set_init([fans](const std::string& key, at::IntArrayRef) -> std::optional<Init> {
      if (key == "patch_embed.proj.bias") return Init::zeros();
      // Xavier's rule for the flattened patches.
      return key == "patch_embed.proj.weight" ? std::optional(Init::uniform(std::sqrt(6 / fans)))
                                              : std::nullopt;
    });
  }
  at::Tensor operator()(const at::Tensor& image) const {
    return proj(image).add(positions()).flatten(2).transpose(1, 2);
  }

 private:
  at::Tensor positions() const {
    const at::Tensor image = embed.permute({0, 3, 1, 2});
    if (table.h == map.h && table.w == map.w) return image;
    return at::upsample_bicubic2d(image, {map.h, map.w}, false);
  }
};

}  // namespace pollard::models
