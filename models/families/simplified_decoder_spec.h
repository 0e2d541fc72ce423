// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/families/decoder_parts.h"

namespace pollard::models {

/// The authors' configuration. What is null there has here the value that says "as usual": a skip gain of 0 is no skip,
/// a negative number takes what stands beside it.
struct SimplifiedDecoderSpec {
  std::int64_t vocab = 50000, n_positions = 1024, d = 768, L = 18, h = 12, inner = 3072;
  std::string norm_type = "rmsnorm", norm_position = "pre", qk_norm_type = "none", dot_norm_type = "none";
  bool parallel_layers = false;
  double lrelu_neg_slope = 0;
  /// Gains of the two branches of a block and of its skips; a skip of 0 is none.
  double attn_block_resid_gain = 1, attn_block_skip_gain = 1, mlp_block_resid_gain = 1,
         mlp_block_skip_gain = 1;
  /// Shaped attention.
  bool centre_attn = false;
  double attn_mat_resid_gain = 1, attn_mat_skip_gain = 0, centre_attn_gain = 1;
  /// Values and projections: full matrices, or resid * W + skip * I when the skip is not 0; W is absent, and with it the
  /// whole layer, where skip is 1, resid 0 and the init "id".
  double value_resid_gain = 1, value_skip_gain = 0, first_layer_value_resid_gain = -1;
  double proj_resid_gain = 1, proj_skip_gain = 0, last_layer_proj_resid_gain = -1;
  std::string val_init_type = "normal", proj_init_type = "normal";
  double query_init_std = -1;  // < 0: 0.02, as all others
  /// Columns of q and hidden units of the feed-forward part, one a layer: both may have been pruned.
  std::vector<std::int64_t> query_sizes, inner_sizes;

  void fields(Fields& f);

  /// How a layer's values (or projections) are made.
  enum class Mixer : std::uint8_t { Full, Skip, Identity };
  double value_resid(std::int64_t layer) const {
    return layer == 0 && first_layer_value_resid_gain >= 0 ? first_layer_value_resid_gain : value_resid_gain;
  }
  double proj_resid(std::int64_t layer) const {
    return layer == L - 1 && last_layer_proj_resid_gain >= 0 ? last_layer_proj_resid_gain : proj_resid_gain;
  }
  Mixer value(std::int64_t layer) const {
    return mixer(value_skip_gain, value_resid(layer), val_init_type == "id");
  }
  Mixer proj(std::int64_t layer) const {
    return mixer(proj_skip_gain, proj_resid(layer), proj_init_type == "id");
  }

 private:
  static Mixer mixer(double skip, double resid, bool identity) {
    if (skip == 0) return Mixer::Full;
    return skip == 1 && resid == 0 && identity ? Mixer::Identity : Mixer::Skip;
  }
};

/// What names and shapes show; gains and the order of the parts do not: those of SAS where values are identities, else
/// of Pre-LN.
SimplifiedDecoderSpec simplified_decoder_from(const Shapes& shapes);

}  // namespace pollard::models
