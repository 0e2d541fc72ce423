// SPDX-License-Identifier: Apache-2.0
// What pruning is said to need is what its copies take.
#include "pruning/memory_needs.h"

#include <gtest/gtest.h>

#include <set>

#include "graph/cost.h"
#include "pruning/plan.h"
#include "pruning/rewrite.h"
#include "pruning/verify.h"
#include "tests/paths.h"

namespace pollard::pruning {
namespace {

/// Bytes of the tensors, each once, that are none of `known`.
std::int64_t bytes_of(const kernels::Weights& weights, const kernels::Weights& known) {
  std::set<const void*> seen;
  for (const auto& [name, tensor] : known) seen.insert(tensor.const_data_ptr());
  std::int64_t bytes = 0;
  for (const auto& [name, tensor] : weights)
    if (seen.insert(tensor.const_data_ptr()).second) bytes += static_cast<std::int64_t>(tensor.nbytes());
  return bytes;
}

TEST(MemoryNeeds, AreWhatTheCopiesTake) {
  for (const char* name : {"syn_flatten_fc", "syn_tied_weight", "hf_llama_gqa", "transenc", "bilstm1"}) {
    const models::Model model = models::load(test::data_folder() + "/cases/" + name + ".pt2");
    const graph::Dependencies d = graph::analyse(model.program);
    PlanOptions options;
    options.ratio = 0.5;
    const graph::Removal removal = make_plan(model, d, options).removal;
    const models::Model pruned = prune(model, d, removal);
    const MemoryNeeds needs = memory_needs(model.program, d, removal);
    EXPECT_GT(needs.slices, 0) << name;
    EXPECT_EQ(needs.slices, bytes_of(pruned.weights, model.weights)) << name;
    const std::int64_t activations =
        graph::CostModel(model.program, d).evaluate(graph::full_widths(d)).peak_activation_bytes;
    EXPECT_EQ(needs.proof - activations,
              bytes_of(kernels::convert(masked_weights(model, d, removal), at::kDouble), model.weights) +
                  bytes_of(kernels::convert(pruned.weights, at::kDouble), pruned.weights))
        << name;
  }
}

TEST(MemoryNeeds, NothingIsCopiedWhenNothingLeaves) {
  const models::Model model = models::load(test::data_folder() + "/cases/mha.pt2");
  const graph::Dependencies d = graph::analyse(model.program);
  const MemoryNeeds needs = memory_needs(model.program, d, graph::Removal(d));
  EXPECT_EQ(needs.slices, 0);
  EXPECT_GT(needs.proof, 0);
}

}  // namespace
}  // namespace pollard::pruning
