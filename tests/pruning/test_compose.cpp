// SPDX-License-Identifier: Apache-2.0
// Two prunings in a row are one of the first network; what is left of a network pruned in steps can aim at its origin.
#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include "models/golden_fill.h"
#include "models/registry.h"
#include "pruning/compose.h"
#include "pruning/plan.h"
#include "pruning/repair.h"
#include "pruning/rewrite.h"

namespace pollard::pruning {
namespace {

models::Model network() {
  models::Model model = models::fresh_model(*models::find_family("cifar_resnet"),
                                            R"({"depth":8,"num_filters":[8,8,16,16],"image_size":32})", 0);
  for (auto& [name, tensor] : model.weights)
    if (tensor.is_floating_point()) tensor = models::golden_parameter(name, tensor.sizes());
  return model;
}

graph::Removal plan(const models::Model& model, double ratio) {
  return make_plan(model, graph::analyse(model.program), {.ratio = ratio}).removal;
}

CalibrationSet images(std::int64_t count, std::uint64_t seed) {
  return {.inputs = {at::randn({count, 3, 32, 32}, at::make_generator<at::CPUGeneratorImpl>(seed))},
          .labels = {}};
}

at::Tensor run(const models::Model& model, const CalibrationSet& samples) {
  const graph::Program program = with_batch(model.program, graph::analyse(model.program), samples.samples());
  return kernels::Executor(program).run(model.weights, samples.inputs).front();
}

TEST(Compose, TwoPruningsAreOne) {
  const models::Model first = network();
  const graph::Dependencies d1 = graph::analyse(first.program);
  const graph::Removal done = plan(first, 0.25);
  const models::Model second = prune(first, d1, done);
  const graph::Dependencies d2 = graph::analyse(second.program);
  const graph::Removal then = plan(second, 0.34);
  const auto both = compose(d1, done, d2, then);
  ASSERT_TRUE(both);
  const models::Model twice = prune(second, d2, then), once = prune(first, d1, *both);
  ASSERT_EQ(twice.weights.size(), once.weights.size());
  for (const auto& [name, tensor] : twice.weights)
    EXPECT_TRUE(at::equal(tensor, once.weights.at(name))) << name;
  EXPECT_LT(then.widths(d2), done.widths(d1));
}

TEST(Compose, AxesThatDoNotCorrespondAreSaid) {
  const models::Model first = network();
  const graph::Dependencies d = graph::analyse(first.program);
  EXPECT_FALSE(compose(d, plan(first, 0.25), d, graph::Removal(d)));  // the second network is the first still
}

/// The error of a network pruned and refitted in three steps, each to the origin or to the step before. With a quarter of
/// these samples what a fit takes from chance is more than what adds up from step to step, and the step before is nearer.
double error_after_steps(bool to_the_origin, std::uint64_t seed) {
  const models::Model origin = network();
  const graph::Dependencies d = graph::analyse(origin.program);
  const CalibrationSet samples = images(192, seed), unseen = images(32, seed + 100);
  models::Model now = origin;
  graph::Removal gone(d);
  for (int step = 0; step < 3; ++step) {
    const graph::Dependencies before = graph::analyse(now.program);
    const graph::Removal removal = plan(now, 0.25);
    gone = *compose(d, gone, before, removal);
    models::Model next = prune(now, before, removal);
    if (to_the_origin)
      repair(next, origin, d, gone, samples);
    else
      repair(next, now, before, removal, samples);
    now = std::move(next);
  }
  const at::Tensor wanted = run(origin, unseen);
  return ((run(now, unseen) - wanted).norm() / wanted.norm()).item<double>();
}

TEST(Compose, AStepRefittedToTheOriginIsNearerToIt) {
  double origin = 0, before = 0;  // of several draws: one says little
  for (const std::uint64_t seed : {1, 2}) {
    origin += error_after_steps(true, seed);
    before += error_after_steps(false, seed);
  }
  EXPECT_LT(origin, before);
}

}  // namespace
}  // namespace pollard::pruning
