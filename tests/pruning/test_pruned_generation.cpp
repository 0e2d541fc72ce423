// SPDX-License-Identifier: Apache-2.0
// A pruned decoder, heads, head dimensions and units of every layer fewer, still runs token by token.
#include <gtest/gtest.h>

#include "models/generate.h"
#include "models/registry.h"
#include "pruning/plan.h"
#include "pruning/rewrite.h"

namespace pollard::pruning {
namespace {

TEST(PrunedGeneration, KeepsItsCache) {
  for (const char* name : {"gpt2", "gpt_neo", "gptj", "llama"}) {
    const models::Family& family = *models::find_family(name);
    for (const std::string& spec : family.small_specs) {
      const models::Model model = models::fresh_model(family, spec, 1);
      const graph::Dependencies dependencies = graph::analyse(model.program);
      const Plan plan = make_plan(model, dependencies, {.ratio = 0.5});
      const models::Model pruned = prune(model, dependencies, plan.removal);
      const models::Generator generator(pruned);
      const models::GenerateOptions cached{.max_tokens = 8, .temperature = 1, .seed = 5};
      models::GenerateOptions anew = cached;
      anew.cache = false;
      EXPECT_EQ(generator.run({1, 2, 3}, cached), generator.run({1, 2, 3}, anew)) << name << spec;
    }
  }
}

}  // namespace
}  // namespace pollard::pruning
