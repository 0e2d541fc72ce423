// SPDX-License-Identifier: Apache-2.0
// Dropout of programs that were exported for evaluation: active in training, off elsewhere; and gone where the export was
// decomposed.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "tests/training/support.h"

namespace pollard::training {
namespace {

const at::Tensor& samples() {
  static const at::Tensor x = (at::arange(64 * 6, at::kFloat).view({64, 6}) * 0.37).sin();
  return x;
}

/// The values round the dropout of dropout.pt2, p = 0.5 after a ReLU of 40 units, in one run.
struct Seen {
  at::Tensor before, after, output;
};
Seen run(bool train) {
  TrainedModel network(test::net("dropout"));
  Seen out;
  kernels::RunOptions run;
  run.train = train;
  run.before_op = [&](const graph::Op& op, std::size_t, std::vector<c10::IValue>& stack) {
    if (op.base_name() == "dropout") out.before = stack[0].toTensor().clone();
    return false;
  };
  run.after_value = [&](graph::ValueId value, at::Tensor& tensor) {
    if (network.model().program[value].name == "dropout") out.after = tensor.clone();
  };
  out.output = network.executor(64).run(network.weights(), {samples()}, run).front();
  return out;
}

TEST(Dropout, DropsHalfAndDoublesTheRestInTraining) {
  at::manual_seed(1);
  const Seen seen = run(true);
  const at::Tensor active = seen.before.gt(0), dropped = active.logical_and(seen.after.eq(0));
  EXPECT_NEAR(dropped.sum().item<double>() / active.sum().item<double>(), 0.5, 0.05);
  EXPECT_TRUE(at::equal(seen.after.masked_select(dropped.logical_not()),
                        (seen.before * 2).masked_select(dropped.logical_not())));
  EXPECT_FALSE(at::equal(run(true).output, seen.output)) << "every run draws anew";
}

TEST(Dropout, IsOffInEvaluation) {
  const Seen seen = run(false);
  EXPECT_TRUE(at::equal(seen.after, seen.before));
  EXPECT_TRUE(at::equal(run(false).output, seen.output));
}

/// The loss of the first step, of weights that have not moved, over all samples in one batch.
std::pair<double, double> losses(const std::string& name, std::uint64_t seed) {
  Data data;
  const at::Tensor labels = at::arange(64, at::kLong) % 4;
  data.train = std::make_unique<InMemory>(std::vector<at::Tensor>{samples()}, labels);
  data.validation = std::make_unique<InMemory>(std::vector<at::Tensor>{samples()}, labels);
  TrainingOptions options{.epochs = 1, .batch = 64};
  options.rate = 1e-12;
  options.seed = seed;
  EpochReport report;
  Observer observer;
  observer.epoch = [&](const EpochReport& r) { report = r; };
  const auto alone = kernels::single_process();
  Trainer(test::net(name), std::nullopt, data, options, *alone, observer).run();
  return {report.loss, report.validation.at(0).value};
}

TEST(Dropout, OfARunActsInItsStepsAndNotInItsValidation) {
  const auto [one, one_validated] = losses("dropout", 1);
  const auto [two, two_validated] = losses("dropout", 2);
  EXPECT_GT(std::abs(one - two), 1e-3);
  EXPECT_GT(std::abs(one - one_validated), 1e-3);
  EXPECT_NEAR(one_validated, two_validated, 1e-6);
  EXPECT_EQ(losses("dropout", 1).first, one) << "the seed decides";
}

/// Decomposing for evaluation replaces dropout by nothing, and nothing says where it was.
TEST(Dropout, ThatADecomposedExportLeftOutCannotComeBack) {
  const auto [one, one_validated] = losses("dropout_decomposed", 1);
  const auto [two, _] = losses("dropout_decomposed", 2);
  EXPECT_NEAR(one, two, 1e-6);
  EXPECT_NEAR(one, one_validated, 1e-6);
  EXPECT_NEAR(one_validated, losses("dropout", 1).second, 1e-6) << "the same network";
}

}  // namespace
}  // namespace pollard::training
