// SPDX-License-Identifier: Apache-2.0
#include "models/families/pathformer_spec.h"

#include <algorithm>

namespace pollard::models {

std::string guess_pathformer(const Shapes& shapes) {
  PathformerSpec s;
  s.d_model = shapes.dim("start_fc.weight", 0);
  s.layer_nums = shapes.count("AMS_lists.", ".start_linear.weight");
  s.num_nodes = shapes.dim("AMS_lists.0.start_linear.weight", 1);
  s.seq_len = shapes.dim("AMS_lists.0.w_gate.weight", 1);
  s.pred_len = shapes.dim("projections.0.weight", 0);
  s.d_ff = shapes.dim("AMS_lists.0.experts.0.ff.0.weight", 0);
  s.patch_size_list.clear();
  for (std::int64_t i = 0; i < s.layer_nums; ++i) {
    const std::string experts = "AMS_lists." + std::to_string(i) + ".experts.";
    auto& sizes = s.patch_size_list.emplace_back();
    const std::int64_t count = shapes.count(experts, ".intra_embeddings");
    for (std::int64_t e = 0; e < count; ++e)
      sizes.push_back(s.seq_len / shapes.dim(experts + std::to_string(e) + ".intra_embeddings", 0));
    s.k = std::min(s.k, count);
  }
  return spec_to_json(s);
}

}  // namespace pollard::models
