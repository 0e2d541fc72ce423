// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "models/layers/token_merging.h"
#include "models/spec.h"

namespace pollard::models {

/// timm's VisionTransformer, DeiT's distillation token, and Token Merging (r, prop_attn, trace_source).
struct VitSpec {
  std::int64_t img_size = 224, patch_size = 16, num_classes = 1000, embed_dim = 768, depth = 12;
  std::int64_t num_heads = 12, reg_tokens = 0;
  double mlp_ratio = 4, init_values = 0;  ///< init_values 0: no layer scale
  bool qkv_bias = true, class_token = true, no_embed_class = false, distilled = false;
  std::string global_pool = "token", mlp_layer = "mlp";
  double drop_rate = 0, pos_drop_rate = 0, proj_drop_rate = 0, attn_drop_rate = 0, drop_path_rate = 0;
  std::vector<std::int64_t> r;  ///< tokens merged in each layer; fewer entries than layers: none in the rest
  bool prop_attn = true, trace_source = false;

  void fields(Fields& f) {
    f.integer("img_size", img_size, {1, 1 << 14});
    f.integer("patch_size", patch_size, {1, 1024});
    f.integer("num_classes", num_classes, {0, 1 << 24});
    f.integer("embed_dim", embed_dim, {1, 1 << 16});
    f.integer("depth", depth, {1, 1024});
    f.integer("num_heads", num_heads, {1, 1024});
    f.integer("reg_tokens", reg_tokens, {0, 1024});
    f.real("mlp_ratio", mlp_ratio);
    f.real("init_values", init_values);
    f.flag("qkv_bias", qkv_bias);
    f.flag("class_token", class_token);
    f.flag("no_embed_class", no_embed_class);
    f.flag("distilled", distilled);
    f.text("global_pool", global_pool, {"token", "avg"});
    f.text("mlp_layer", mlp_layer, {"mlp", "swiglu_packed"});
    f.real("drop_rate", drop_rate);
    f.real("pos_drop_rate", pos_drop_rate);
    f.real("proj_drop_rate", proj_drop_rate);
    f.real("attn_drop_rate", attn_drop_rate);
    f.real("drop_path_rate", drop_path_rate);
    f.integers("r", r, {0, 1 << 16});
    f.flag("prop_attn", prop_attn);
    f.flag("trace_source", trace_source);
    f.require(embed_dim % num_heads == 0, "num_heads divides embed_dim");
    f.require(patch_size <= img_size, "patch_size is at most img_size");
    f.require(mlp_ratio > 0 && mlp_ratio <= 1024 && hidden() > 0, "mlp_ratio lies in (0, 1024]");
    f.require(class_token || global_pool == "avg", "without class_token, global_pool is avg");
    f.require(!distilled || (class_token && global_pool == "token" && reg_tokens == 0),
              "a distilled network has a class token and no registers");
    f.require(r.empty() || (reg_tokens == 0 && init_values == 0),
              "tokens merge in networks without registers and layer scale");
  }
  bool glu() const { return mlp_layer == "swiglu_packed"; }
  /// Columns of fc2; a packed GLU's ratio counts both halves.
  std::int64_t hidden() const {
    const auto rows = static_cast<std::int64_t>(static_cast<double>(embed_dim) * mlp_ratio + 1e-6);
    return glu() ? rows / 2 : rows;
  }
  std::int64_t grid() const { return img_size / patch_size; }
  std::int64_t prefix() const { return (class_token ? 1 : 0) + (distilled ? 1 : 0) + reg_tokens; }
  std::int64_t positions() const { return grid() * grid() + (no_embed_class ? 0 : prefix()); }
};

}  // namespace pollard::models
