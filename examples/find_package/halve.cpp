// SPDX-License-Identifier: Apache-2.0
// Prunes half of every group of an exported network, with the library that find_package(pollard) finds:
//     halve IN.pt2 OUT.pt2
#include <cstdio>

#include "graph/error.h"
#include "models/model.h"
#include "pruning/plan.h"
#include "pruning/rewrite.h"
#include "pruning/verify.h"

namespace {

int halve(const char* in, const char* out) {
  const pollard::models::Model model = pollard::models::load(in);
  const pollard::graph::Dependencies dependencies = pollard::graph::analyse(model.program);
  const auto plan = pollard::pruning::make_plan(model, dependencies, {.ratio = 0.5});
  const auto small = pollard::pruning::prune(model, dependencies, plan.removal);
  const auto proof = pollard::pruning::verify(model, small, dependencies, plan.removal);
  pollard::models::save(small, out);
  std::printf("{\"before\": %lld, \"after\": %lld, \"equal\": %s}\n",
              static_cast<long long>(plan.before.parameters), static_cast<long long>(plan.after.parameters),
              proof.ok ? "true" : "false");
  return proof.ok ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  try {
    return halve(argv[1], argv[2]);
  } catch (const pollard::UserError& error) {
    std::fprintf(stderr, "error[%s] %s\n", error.parts().code.c_str(), error.what());
    return static_cast<int>(error.exit());
  }
}
