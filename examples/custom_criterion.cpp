// SPDX-License-Identifier: Apache-2.0
// A criterion of one's own, used like a built-in one.
//
//   custom_criterion IN.pt2 OUT.pt2     removes half of every group's units, those with the smallest largest weight
#include <ATen/ATen.h>

#include <cmath>
#include <cstdio>

#include "graph/error.h"
#include "models/model.h"
#include "pruning/criteria/options.h"
#include "pruning/criteria/slabs.h"
#include "pruning/plan.h"
#include "pruning/rewrite.h"
#include "pruning/verify.h"

namespace {

using namespace pollard;
using namespace pollard::pruning;

/// A unit costs the largest |w|^power among its weights, taken over every parameter that shrinks with it.
class LargestWeight final : public Criterion {
 public:
  explicit LargestWeight(CriterionOptions& options) : power_(options.number("power", 1, 0.01)) {}

  std::string name() const override { return "largest-weight:power=" + std::to_string(power_); }

  Scores score(const ScoreContext& context) const override {
    const Combine combine{.reduce = Reduce::Max, .normalize = Normalize::Max};
    // Called for every parameter; what it gives for an index goes to the unit that covers the index.
    return score_slabs(context, combine, [&](const graph::Input& input, std::span<const std::int64_t> dims) {
      const at::Tensor size =
          context.model.weights.at(input.source).detach().to(at::kDouble).abs().pow(power_);
      std::vector<std::vector<double>> out;
      for (std::int64_t dim : dims) {
        const at::Tensor largest = size.movedim(dim, 0).reshape({size.size(dim), -1}).amax(1).contiguous();
        out.emplace_back(largest.const_data_ptr<double>(),
                         largest.const_data_ptr<double>() + largest.numel());
      }
      return out;
    });
  }

 private:
  double power_;
};

int shrink(const char* in, const char* out) {
  register_criterion({.name = "largest-weight", .summary = "the largest weight a unit owns"},
                     [](CriterionOptions& options) { return std::make_unique<LargestWeight>(options); });
  const models::Model model = models::load(in);
  const graph::Dependencies dependencies = graph::analyse(model.program);
  PlanOptions options;
  options.ratio = 0.5;
  options.criterion = "largest-weight:power=2";
  const Plan plan = make_plan(model, dependencies, options);
  const models::Model small = prune(model, dependencies, plan.removal);
  const Verification proof = verify(model, small, dependencies, plan.removal);
  models::save(small, out, {.force = true});
  std::printf("%lld -> %lld parameters, %s the masked original\n",
              static_cast<long long>(plan.before.parameters), static_cast<long long>(plan.after.parameters),
              proof.ok ? "equal to" : "NOT equal to");
  return proof.ok ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fputs("usage: custom_criterion IN.pt2 OUT.pt2\n", stderr);
    return 2;
  }
  try {
    return shrink(argv[1], argv[2]);
  } catch (const UserError& error) {
    std::fprintf(stderr, "error[%s] %s\n", error.parts().code.c_str(), error.what());
    return static_cast<int>(error.exit());
  }
}
