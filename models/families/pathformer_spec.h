// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/family.h"

namespace pollard::models {

/// The authors' command-line options.
struct PathformerSpec {
  std::int64_t layer_nums = 3, num_nodes = 7, pred_len = 96, seq_len = 96, k = 3, d_model = 4, d_ff = 64;
  std::vector<std::vector<std::int64_t>> patch_size_list{{16, 12, 8, 32}, {12, 8, 6, 4}, {8, 6, 4, 2}};
  std::int64_t residual_connection = 1, revin = 1, batch_norm = 0;

  void fields(Fields& f) {
    f.integer("layer_nums", layer_nums, {1, 64});
    f.integer("num_nodes", num_nodes, {1, 1 << 16});
    f.integer("pred_len", pred_len, {1, 1 << 16});
    f.integer("seq_len", seq_len, {8, 1 << 14});
    f.integer("k", k, {1, 64});
    f.integer("d_model", d_model, {2, 1 << 12});
    f.integer("d_ff", d_ff, {1, 1 << 16});
    f.integer_lists("patch_size_list", patch_size_list, {1, 1 << 14});
    f.integer("residual_connection", residual_connection, {0, 1});
    f.integer("revin", revin, {0, 1});
    f.integer("batch_norm", batch_norm, {0, 1});
    f.require(std::ssize(patch_size_list) == layer_nums, "one list of patch sizes a layer");
    f.require(d_model % 2 == 0, "d_model is even");
    for (const auto& sizes : patch_size_list) {
      f.require(std::ssize(sizes) >= k, "k is at most the number of experts");
      for (const std::int64_t size : sizes) f.require(seq_len % size == 0, "patch sizes divide seq_len");
    }
  }
};

/// Sizes as names and shapes tell; k and the switches do not show.
std::string guess_pathformer(const Shapes& shapes);

}  // namespace pollard::models
