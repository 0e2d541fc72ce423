// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "models/spec.h"

namespace pollard::models {

/// "56-28-14-7".
inline std::vector<std::int64_t> dashed_numbers(const std::string& text) {
  std::vector<std::int64_t> out(1, 0);
  for (const char c : text) {
    if (c == '-')
      out.push_back(0);
    else
      out.back() = std::min<std::int64_t>(out.back() * 10 + (c - '0'), 1 << 20);
  }
  return out;
}

struct FlattenCswinSpec {
  std::int64_t img_size = 224, patch_size = 4, embed_dim = 64, num_classes = 1000;
  std::int64_t focusing_factor = 3, kernel_size = 5;
  std::vector<std::int64_t> depth{2, 4, 18, 1}, split_size{1, 2, 7, 7}, num_heads{2, 4, 8, 16};
  std::string la_split_size = "56-28-14-7", attn_type = "LLSS";
  bool qkv_bias = true;
  double mlp_ratio = 4, drop_rate = 0, attn_drop_rate = 0, drop_path_rate = 0.1;

  void fields(Fields& f) {
    f.integer("img_size", img_size, {32, 1 << 13});
    f.integer("patch_size", patch_size, {4, 4});
    f.integer("embed_dim", embed_dim, {1, 1 << 14});
    f.integer("num_classes", num_classes);
    f.integer("focusing_factor", focusing_factor, {1, 64});
    f.integer("kernel_size", kernel_size, {1, 63});
    f.integers("depth", depth, {1, 256}, 4);
    f.integers("split_size", split_size, {1, 1024}, 4);
    f.integers("num_heads", num_heads, {1, 1024}, 4);
    f.text("la_split_size", la_split_size);
    f.text("attn_type", attn_type);
    f.flag("qkv_bias", qkv_bias);
    f.real("mlp_ratio", mlp_ratio);
    f.real("drop_rate", drop_rate);
    f.real("attn_drop_rate", attn_drop_rate);
    f.real("drop_path_rate", drop_path_rate);
    f.require(depth.size() == 4 && split_size.size() == 4 && num_heads.size() == 4,
              "lists have four entries");
    f.require(attn_type.size() == 4 && attn_type.find_first_not_of("LS") == std::string::npos,
              "attn_type is four letters L or S");
    f.require(la_split_size.find_first_not_of("0123456789-") == std::string::npos &&
                  dashed_numbers(la_split_size).size() == 4,
              "la_split_size is four numbers with dashes between");
    f.require(mlp_ratio > 0 && mlp_ratio <= 64, "mlp_ratio lies in (0, 64]");
    for (std::size_t i = 0; i < 4; ++i) {
      f.require(split(i) > 0 && (branches(i) == 1 || side(i) % split(i) == 0),
                "a split divides its stage's map");
      f.require(!linear(i) || branches(i) == 1,
                "linear attention covers the whole map: la_split_size is its side");
      f.require(num_heads[i] % branches(i) == 0 && width(i) % num_heads[i] == 0,
                "num_heads divides the stage's width");
    }
  }
  std::int64_t width(std::size_t stage) const { return embed_dim << stage; }
  std::int64_t side(std::size_t stage) const {
    std::int64_t s = (img_size - 3) / 4 + 1;
    for (std::size_t i = 0; i < stage; ++i) s = (s - 1) / 2 + 1;
    return s;
  }
  bool linear(std::size_t stage) const { return attn_type[stage] == 'L'; }
  std::int64_t split(std::size_t stage) const {
    return linear(stage) ? dashed_numbers(la_split_size)[stage] : split_size[stage];
  }
  std::int64_t branches(std::size_t stage) const { return stage == 3 || split(stage) == side(stage) ? 1 : 2; }
};

}  // namespace pollard::models
