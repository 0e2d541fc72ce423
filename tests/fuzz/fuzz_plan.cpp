// SPDX-License-Identifier: Apache-2.0
// Any bytes as a plan for a small network: refused, or carried out.
#include "graph/removal.h"
#include "pruning/plan.h"
#include "pruning/rewrite.h"
#include "tests/fuzz/target.h"
#include "tests/paths.h"

namespace {

struct Network {
  pollard::models::Model model =
      pollard::models::load(pollard::test::data_folder() + "/cases/syn_flatten_bn_fc.pt2");
  pollard::graph::Dependencies dependencies = pollard::graph::analyse(model.program);
  Network() { model.sha256 = "0"; }  // so that seeds need not know the file's
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Network network;
  return pollard::fuzz::read_or_refuse([&] {
    const auto plan = pollard::pruning::plan_from_json(pollard::fuzz::text(data, size), network.model,
                                                       network.dependencies);
    const auto pruned = pollard::pruning::prune(network.model, network.dependencies, plan.removal);
    pollard::graph::check(pruned.program);
    pollard::pruning::to_json(plan, network.model, network.dependencies);
  });
}
