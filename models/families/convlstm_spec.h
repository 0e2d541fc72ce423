// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "models/spec.h"

namespace pollard::models {

/// OpenSTL's ConvLSTM; t_in frames are seen and t_out predicted.
struct ConvLstmSpec {
  std::int64_t img_size = 64, in_chans = 1, patch_size = 4, filter_size = 5, layer_norm = 0, t_in = 10,
               t_out = 10;
  std::vector<std::int64_t> num_hidden{128, 128, 128, 128};

  void fields(Fields& f) {
    f.integer("img_size", img_size, {1, 1 << 12});
    f.integer("in_chans", in_chans, {1, 4096});
    f.integer("patch_size", patch_size, {1, 64});
    f.integer("filter_size", filter_size, {1, 63});
    f.integer("layer_norm", layer_norm, {0, 1});
    f.integer("t_in", t_in, {1, 1024});
    f.integer("t_out", t_out, {1, 1024});
    f.integers("num_hidden", num_hidden, {1, 1 << 14}, 64);
    f.require(!num_hidden.empty(), "num_hidden has an entry a layer");
    f.require(filter_size % 2 == 1, "filter_size is odd");
    f.require(img_size % patch_size == 0, "patch_size divides img_size");
  }
  std::int64_t side() const { return img_size / patch_size; }
  std::int64_t channels() const { return patch_size * patch_size * in_chans; }
};

/// A stack of fused cells over t_in steps.
struct ConvLstmFusedSpec {
  std::int64_t input_dim = 1, t_in = 10;
  std::vector<std::int64_t> hidden_dim{64, 64}, kernel_size{3, 3};
  bool bias = true;

  void fields(Fields& f) {
    f.integer("input_dim", input_dim, {1, 1 << 14});
    f.integer("t_in", t_in, {1, 1024});
    f.integers("hidden_dim", hidden_dim, {1, 1 << 14}, 64);
    f.integers("kernel_size", kernel_size, {1, 63}, 2);
    f.flag("bias", bias);
    f.require(!hidden_dim.empty(), "hidden_dim has an entry a layer");
    f.require(kernel_size.size() == 2 && kernel_size[0] % 2 == 1 && kernel_size[1] % 2 == 1,
              "kernel_size is two odd numbers, of rows and columns");
  }
  std::array<std::int64_t, 2> kernel() const { return {kernel_size[0], kernel_size[1]}; }
  std::array<std::int64_t, 2> padding() const { return {kernel_size[0] / 2, kernel_size[1] / 2}; }
};

}  // namespace pollard::models
