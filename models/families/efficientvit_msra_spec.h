// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "models/spec.h"

namespace pollard::models {

/// timm's EfficientVitMsra; lists have an entry a stage.
struct EfficientVitSpec {
  std::int64_t img_size = 224, num_classes = 1000;
  std::vector<std::int64_t> embed_dim{64, 128, 192}, key_dim{16, 16, 16}, depth{1, 2, 3}, num_heads{4, 4, 4};
  std::vector<std::int64_t> window_size{7, 7, 7};
  std::vector<std::int64_t> kernels{5, 5, 5, 5};  ///< of each head's depthwise convolution
  double drop_rate = 0, drop_path_rate = 0;

  void fields(Fields& f) {
    f.integer("img_size", img_size, {16, 1 << 13});
    f.integer("num_classes", num_classes);
    f.integers("embed_dim", embed_dim, {1, 1 << 16}, 16);
    f.integers("key_dim", key_dim, {1, 4096}, 16);
    f.integers("depth", depth, {1, 256}, 16);
    f.integers("num_heads", num_heads, {1, 256}, 16);
    f.integers("window_size", window_size, {1, 256}, 16);
    f.integers("kernels", kernels, {1, 63}, 256);
    f.real("drop_rate", drop_rate);
    f.real("drop_path_rate", drop_path_rate);
    const std::size_t n = embed_dim.size();
    f.require(
        n > 0 && key_dim.size() == n && depth.size() == n && num_heads.size() == n && window_size.size() == n,
        "embed_dim, key_dim, depth, num_heads and window_size have one entry a stage");
    for (std::size_t s = 0; s < n; ++s) {
      f.require(embed_dim[s] % num_heads[s] == 0, "num_heads divides embed_dim");
      f.require(num_heads[s] <= std::ssize(kernels), "kernels has an entry a head");
    }
    f.require(embed_dim[0] % 8 == 0, "the first embed_dim is a multiple of 8");
  }
};

}  // namespace pollard::models
