// SPDX-License-Identifier: Apache-2.0
// Dense weights as Monarch matrices: the projection is the best there is, and the program computes with it.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "graph/cost.h"
#include "kernels/lowering/lowering.h"
#include "models/golden_fill.h"
#include "models/layers/monarch.h"
#include "models/registry.h"
#include "pruning/monarch.h"
#include "pruning/plan.h"
#include "pruning/rewrite.h"
#include "pruning/verify.h"
#include "tests/pruning/small_bert.h"

namespace pollard::pruning {
namespace {

at::Tensor matrix(const char* name, std::int64_t rows, std::int64_t columns) {
  return models::golden_unit(name, {rows, columns}).to(at::kDouble);
}

/// The matrix [out, in] that the factors multiply by.
at::Tensor dense(const MonarchFactors& f, std::int64_t in) {
  return models::monarch_multiply(at::eye(in, f.first.options()), f.first, f.second).t();
}

double distance(const at::Tensor& a, const at::Tensor& b) { return at::norm(a - b).item<double>(); }

TEST(Monarch, FullRankIsTheMatrixItself) {
  const at::Tensor w = matrix("w", 12, 20);
  const MonarchFactors f = project_to_monarch(w, 4, 3);
  EXPECT_LT(distance(dense(f, 20), w), 1e-12 * at::norm(w).item<double>());
  EXPECT_LT(f.error, 1e-12);
}

TEST(Monarch, AMonarchMatrixComesBack) {
  const MonarchFactors random{.first = models::golden_unit("first", {4, 8, 5}).to(at::kDouble),
                              .second = models::golden_unit("second", {4, 3, 8}).to(at::kDouble)};
  const at::Tensor w = dense(random, 20);
  EXPECT_LT(project_to_monarch(w, 4, 2).error, 1e-7);
  EXPECT_GT(project_to_monarch(w, 4, 1).error, 0.1);
}

// At the optimum the error is orthogonal to every direction in which the factors can move.
TEST(Monarch, NoSmallChangeOfTheFactorsComesNearer) {
  const at::Tensor w = matrix("w", 12, 20);
  const MonarchFactors f = project_to_monarch(w, 2, 2);
  const double best = distance(dense(f, 20), w);
  EXPECT_NEAR(best / at::norm(w).item<double>(), f.error, 1e-12);
  EXPECT_GT(f.error, 0.1);
  for (const char* name : {"one", "two", "three"})
    for (const double step : {1e-2, 1e-4}) {
      MonarchFactors moved = f;
      const std::string first = std::string(name) + " first", second = std::string(name) + " second";
      moved.first = f.first + step * models::golden_unit(first, f.first.sizes()).to(at::kDouble);
      moved.second = f.second + step * models::golden_unit(second, f.second.sizes()).to(at::kDouble);
      EXPECT_GT(distance(dense(moved, 20), w), best) << name << step;
    }
}

/// The model with every replaced weight's nearest Monarch matrix in its place, dense.
models::Model projected(const models::Model& model, const MonarchReport& report, std::int64_t blocks) {
  models::Model out = model;
  for (const MonarchLayer& layer : report.layers) {
    at::Tensor& w = out.weights.at(layer.weight);
    const MonarchFactors f = project_to_monarch(w, blocks, layer.rank);
    w = dense({f.first.to(at::kDouble), f.second.to(at::kDouble), 0}, layer.in);
  }
  return out;
}

TEST(Monarch, TheProgramComputesWithTheNearestMatrices) {
  const models::Model model = small_bert();
  models::Model monarch = model;
  const MonarchReport report = to_monarch(monarch, {.blocks = 4, .keep = 0.6});
  EXPECT_EQ(report.layers.size(), 13U);  // six a layer, and the pooler
  EXPECT_TRUE(report.left.empty());
  const models::Model reference = projected(model, report, 4);
  for (const auto& inputs : example_inputs(model, 2, 5)) {
    const auto want =
        kernels::Executor(reference.program).run(reference.weights, inputs, {.compute_type = at::kDouble});
    const auto got =
        kernels::Executor(monarch.program).run(monarch.weights, inputs, {.compute_type = at::kDouble});
    ASSERT_EQ(got.size(), want.size());
    for (std::size_t i = 0; i < got.size(); ++i)
      EXPECT_LT(distance(got[i], want[i]), 1e-10 * at::norm(want[i]).item<double>());
  }
}

TEST(Monarch, ReportsSizesAndErrors) {
  const models::Model model = small_bert();
  models::Model monarch = model;
  const MonarchReport report = to_monarch(monarch, {.blocks = 2, .keep = 0.5, .only = {"*intermediate*"}});
  ASSERT_EQ(report.layers.size(), 2U);
  const auto parameters = [](const models::Model& m) {
    const graph::Dependencies d = graph::analyse(m.program);
    return graph::CostModel(m.program, d).evaluate(graph::full_widths(d)).parameters;
  };
  std::int64_t saved = 0;
  for (const MonarchLayer& layer : report.layers) {
    EXPECT_LE(layer.after, layer.before / 2) << layer.weight;
    EXPECT_GT(layer.weight_error, 0.05);
    EXPECT_GT(layer.output_error, 0.05);
    EXPECT_LT(layer.output_error, 1);
    saved += layer.before - layer.after;
  }
  EXPECT_EQ(parameters(model) - parameters(monarch), saved);
  EXPECT_GT(report.output_change, 0);
}

TEST(Monarch, LoweredEveryProductRunsInOneCall) {
  models::Model model = small_bert();
  const MonarchReport report = to_monarch(model, {.blocks = 2, .keep = 0.6});
  const kernels::Lowered lowered = kernels::lower(model.program, model.weights);
  EXPECT_EQ(std::ranges::count(lowered.program.ops, "pollard.packed_monarch.default", &graph::Op::target),
            std::ssize(report.layers));
  const at::Tensor want = kernels::Executor(model.program).run(model.weights, model.sample_inputs).at(0),
                   got = kernels::Executor(lowered.program).run(lowered.weights, model.sample_inputs).at(0);
  EXPECT_LE((got - want).abs().max().item<double>(), 1e-5 * want.abs().max().item<double>());
}

TEST(Monarch, WhatCannotBeReplacedStaysDense) {
  models::Model model = small_bert();
  EXPECT_TRUE(to_monarch(model, {.blocks = 7}).layers.empty());
  const MonarchReport report = to_monarch(model, {.blocks = 7});
  EXPECT_EQ(report.left.size(), 13U);
  EXPECT_NE(report.left.front().find("7 blocks do not divide"), std::string::npos);
  EXPECT_TRUE(model.weights.contains("pooler.dense.weight"));
}

TEST(Monarch, TheResultCanBePruned) {
  models::Model model = small_bert();
  to_monarch(model, {.blocks = 2, .keep = 0.6});
  const graph::Dependencies dependencies = graph::analyse(model.program);
  const Plan plan = make_plan(model, dependencies, {.ratio = 0.5});
  EXPECT_FALSE(plan.empty());
  const models::Model pruned = prune(model, dependencies, plan.removal);
  const Verification v = verify(model, pruned, dependencies, plan.removal, {.inputs = 2});
  EXPECT_TRUE(v.ok) << v.max_relative;
  EXPECT_GT(v.change, 0);
}

}  // namespace
}  // namespace pollard::pruning
