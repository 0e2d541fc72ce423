// SPDX-License-Identifier: Apache-2.0
#include "models/families/simplified_decoder_spec.h"

namespace pollard::models {

void SimplifiedDecoderSpec::fields(Fields& f) {
  f.integer("vocab", vocab);
  f.integer("n_positions", n_positions, {1, 1 << 20});
  f.integer("d", d, {1, 1 << 16});
  f.integer("L", L, {1, 1024});
  f.integer("h", h, {1, 1024});
  f.integer("inner", inner, {1, 1 << 20});
  f.text("norm_type", norm_type, {"rmsnorm", "ln", "none"});
  f.text("norm_position", norm_position, {"pre", "post"});
  f.text("qk_norm_type", qk_norm_type, {"none", "rmsnorm"});
  f.text("dot_norm_type", dot_norm_type, {"none", "tanh"});
  f.flag("parallel_layers", parallel_layers);
  f.real("lrelu_neg_slope", lrelu_neg_slope);
  f.real("attn_block_resid_gain", attn_block_resid_gain);
  f.real("attn_block_skip_gain", attn_block_skip_gain);
  f.real("mlp_block_resid_gain", mlp_block_resid_gain);
  f.real("mlp_block_skip_gain", mlp_block_skip_gain);
  f.flag("centre_attn", centre_attn);
  f.real("attn_mat_resid_gain", attn_mat_resid_gain);
  f.real("attn_mat_skip_gain", attn_mat_skip_gain);
  f.real("centre_attn_gain", centre_attn_gain);
  f.real("value_resid_gain", value_resid_gain);
  f.real("value_skip_gain", value_skip_gain);
  f.real("first_layer_value_resid_gain", first_layer_value_resid_gain);
  f.real("proj_resid_gain", proj_resid_gain);
  f.real("proj_skip_gain", proj_skip_gain);
  f.real("last_layer_proj_resid_gain", last_layer_proj_resid_gain);
  f.text("val_init_type", val_init_type, {"normal", "orth", "id"});
  f.text("proj_init_type", proj_init_type, {"normal", "orth", "id"});
  f.real("query_init_std", query_init_std);
  f.require(d % h == 0, "h divides d");
  f.require(value_skip_gain == 0 || val_init_type == "id", "values with a skip have val_init_type id");
  f.require(proj_skip_gain == 0 || proj_init_type == "id", "projections with a skip have proj_init_type id");
  layer_sizes(f, "query_sizes", query_sizes, L, d);
  layer_sizes(f, "inner_sizes", inner_sizes, L, inner);
  for (const std::int64_t width : query_sizes) f.require(width % h == 0, "h divides query_sizes");
}

SimplifiedDecoderSpec simplified_decoder_from(const Shapes& shapes) {
  SimplifiedDecoderSpec s;
  const auto block = [](std::int64_t i) { return "transformer.h." + std::to_string(i) + "."; };
  s.vocab = shapes.dim("transformer.wte.weight", 0);
  s.d = shapes.dim("transformer.wte.weight", 1);
  s.n_positions = shapes.dim("transformer.wpe.weight", 0);
  s.L = shapes.count("transformer.h.", ".attn.qk_attn.weight");
  s.h = shapes.dim("transformer.h.0.attn.attn_mat_resid_gain", 1);
  for (std::int64_t i = 0; i < s.L; ++i) {
    s.query_sizes.push_back(shapes.dim(block(i) + "attn.qk_attn.weight", 1) / 2);
    s.inner_sizes.push_back(shapes.dim(block(i) + "mlp.c_fc.weight", 1));
  }
  s.inner = shapes.dim(block(0) + "mlp.c_fc.weight", 1);
  const bool layer_norms = shapes.has(block(0) + "ln_2.weight");
  s.norm_type = shapes.has(block(0) + "ln_1.scale") ? "rmsnorm" : layer_norms ? "ln" : "none";
  s.qk_norm_type = shapes.has(block(0) + "attn.q_norm.scale") ? "rmsnorm" : "none";
  const std::string last = block(s.L - 1) + "attn.";
  if (shapes.has(last + "v_attn.weight") && !shapes.has(last + "v_attn.skip_gain")) return s;
  s.attn_block_skip_gain = 0;
  s.mlp_block_resid_gain = 0.1;
  s.centre_attn = true;
  s.attn_mat_skip_gain = s.value_skip_gain = s.proj_skip_gain = s.first_layer_value_resid_gain = 1;
  s.value_resid_gain = shapes.has(last + "v_attn.weight") && s.L > 1 ? 1 : 0;
  s.proj_resid_gain = shapes.has(last + "c_proj.weight") ? 1 : 0;
  s.query_init_std = 0;
  s.val_init_type = s.proj_init_type = "id";
  return s;
}

}  // namespace pollard::models
