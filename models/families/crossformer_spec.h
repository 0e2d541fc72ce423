// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "models/spec.h"

namespace pollard::models {

/// The authors' arguments.
struct CrossformerSpec {
  std::int64_t data_dim = 7, in_len = 168, out_len = 24, seg_len = 6, win_size = 2, factor = 10;
  std::int64_t d_model = 256, d_ff = 512, n_heads = 4, e_layers = 3;
  double dropout = 0.2;
  bool baseline = false;

  void fields(Fields& f) {
    f.integer("data_dim", data_dim, {1, 1 << 20});
    f.integer("in_len", in_len, {1, 1 << 20});
    f.integer("out_len", out_len, {1, 1 << 20});
    f.integer("seg_len", seg_len, {1, 1 << 16});
    f.integer("win_size", win_size, {2, 1024});
    f.integer("factor", factor, {1, 1 << 16});
    f.integer("d_model", d_model, {1, 1 << 16});
    f.integer("d_ff", d_ff, {1, 1 << 20});
    f.integer("n_heads", n_heads, {1, 1024});
    f.integer("e_layers", e_layers, {1, 64});
    f.real("dropout", dropout);
    f.flag("baseline", baseline);
    f.require(d_model >= n_heads, "d_model is at least n_heads");
  }
  static std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
  std::int64_t in_segments() const { return ceil_div(in_len, seg_len); }
  std::int64_t out_segments() const { return ceil_div(out_len, seg_len); }
};

}  // namespace pollard::models
