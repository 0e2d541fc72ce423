// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/spec.h"

namespace pollard::models {

/// FLatten-PVT and PVTv2, four stages.
struct FlattenPvtSpec {
  std::int64_t img_size = 224, patch_size = 4, num_classes = 1000, focusing_factor = 3, kernel_size = 5;
  std::vector<std::int64_t> embed_dims{64, 128, 320, 512}, num_heads{1, 2, 5, 8}, mlp_ratios{8, 8, 4, 4};
  std::vector<std::int64_t> depths{2, 2, 2, 2}, sr_ratios{8, 4, 2, 1};
  std::string la_sr_ratios = "1111";  ///< the linear stages' reduction of keys, a digit a stage
  std::string attn_type = "LLLL";     ///< a letter a stage: L linear, S softmax
  bool qkv_bias = true;
  bool v2 =
      false;  ///< PVTv2: overlapping patches, a convolution in the perceptron, norms after stages, no positions
  double norm_eps = 1e-6, drop_rate = 0, attn_drop_rate = 0, drop_path_rate = 0.1;

  void fields(Fields& f) {
    f.integer("img_size", img_size, {32, 1 << 13});
    f.integer("patch_size", patch_size, {1, 64});
    f.integer("num_classes", num_classes);
    f.integer("focusing_factor", focusing_factor, {1, 64});
    f.integer("kernel_size", kernel_size, {1, 63});
    f.integers("embed_dims", embed_dims, {1, 1 << 14}, 4);
    f.integers("num_heads", num_heads, {1, 1024}, 4);
    f.integers("mlp_ratios", mlp_ratios, {1, 64}, 4);
    f.integers("depths", depths, {1, 256}, 4);
    f.integers("sr_ratios", sr_ratios, {1, 64}, 4);
    f.text("la_sr_ratios", la_sr_ratios);
    f.text("attn_type", attn_type);
    f.flag("qkv_bias", qkv_bias);
    f.flag("v2", v2);
    f.real("norm_eps", norm_eps);
    f.real("drop_rate", drop_rate);
    f.real("attn_drop_rate", attn_drop_rate);
    f.real("drop_path_rate", drop_path_rate);
    for (const auto* list : {&embed_dims, &num_heads, &mlp_ratios, &depths, &sr_ratios})
      f.require(list->size() == 4, "lists have four entries");
    f.require(attn_type.size() == 4 && attn_type.find_first_not_of("LS") == std::string::npos,
              "attn_type is four letters L or S");
    f.require(la_sr_ratios.size() == 4 && la_sr_ratios.find_first_not_of("123456789") == std::string::npos,
              "la_sr_ratios is four digits");
    for (std::size_t i = 0; i < 4; ++i)
      f.require(embed_dims[i] % num_heads[i] == 0 && side(i) >= reduction(i), "num_heads divides embed_dims");
  }
  bool linear(std::size_t stage) const { return attn_type[stage] == 'L'; }
  std::int64_t reduction(std::size_t stage) const {
    return linear(stage) ? la_sr_ratios[stage] - '0' : sr_ratios[stage];
  }
  std::int64_t stride(std::size_t stage) const { return stage == 0 ? patch_size : 2; }
  /// The stage's map.
  std::int64_t side(std::size_t stage) const {
    std::int64_t s = img_size;
    for (std::size_t i = 0; i <= stage; ++i) s = v2 ? (s - 1) / stride(i) + 1 : s / stride(i);
    return s;
  }
};

}  // namespace pollard::models
