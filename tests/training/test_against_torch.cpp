// SPDX-License-Identifier: Apache-2.0
// Schedules, optimisers, losses, metrics and whole steps of training give what PyTorch gives.
#include <gtest/gtest.h>

#include "kernels/communicator.h"
#include "tests/training/support.h"

namespace pollard::training {
namespace {

using test::expected;

void expect_rates(const std::string& name, const Schedule& schedule) {
  const auto rates = expected().at("schedules").at(name).get<std::vector<double>>();
  for (std::size_t i = 0; i < rates.size(); ++i)
    EXPECT_NEAR(schedule.rate(static_cast<std::int64_t>(i)), rates[i], 1e-9) << name << " at step " << i;
}

TEST(Schedules, AreTorchsStepByStep) {
  using Kind = Schedule::Kind;
  expect_rates("cosine", {.kind = Kind::Cosine, .peak = 0.1, .total = 40});
  expect_rates("warm_cosine", {.kind = Kind::Cosine, .peak = 0.2, .total = 40, .warm_up = 8, .floor = 0.1});
  expect_rates("step", {.kind = Kind::Step, .peak = 0.1, .total = 40, .period = 12, .factor = 0.3});
  expect_rates("one-cycle", {.kind = Kind::OneCycle, .peak = 0.1, .total = 40});
}

void expect_optimised(const std::string& name, const OptimiserOptions& options, double rate) {
  at::Tensor x = at::linspace(-1, 1, 12).view({3, 4});
  Optimiser optimiser(options, {{"x", x, true}});
  for (int step = 0; step < 6; ++step) {
    x.mutable_grad() = (at::arange(12, at::kFloat).view({3, 4}) + step).sin() + 0.3 * x;
    optimiser.step(rate);
  }
  const auto wanted = expected().at("optimisers").at(name).get<std::vector<double>>();
  EXPECT_LT((x.flatten() - at::tensor(wanted, at::kFloat)).abs().max().item<float>(), 2e-6) << name;
}

TEST(Optimisers, AreTorchsStepByStep) {
  using Kind = OptimiserOptions::Kind;
  expect_optimised("sgd", {.kind = Kind::Sgd, .momentum = 0.9, .weight_decay = 0.01}, 0.05);
  expect_optimised("nesterov", {.kind = Kind::Sgd, .momentum = 0.8, .nesterov = true}, 0.05);
  expect_optimised("adamw", {.kind = Kind::AdamW, .beta1 = 0.9, .beta2 = 0.99, .weight_decay = 0.1}, 0.05);
}

TEST(Optimisers, GoOnFromASavedState) {
  const OptimiserOptions options{.kind = OptimiserOptions::Kind::AdamW};
  at::Tensor x = at::linspace(-1, 1, 4), y = x.clone();
  Optimiser whole(options, {{"x", x, true}});
  std::unique_ptr<Optimiser> parts =
      std::make_unique<Optimiser>(options, std::vector<Optimiser::Parameter>{{"x", y}});
  for (int step = 0; step < 4; ++step) {
    x.mutable_grad() = x.sin();
    y.mutable_grad() = y.sin();
    whole.step(0.1);
    parts->step(0.1);
    auto next = std::make_unique<Optimiser>(options, std::vector<Optimiser::Parameter>{{"x", y}});
    next->restore(parts->state(), parts->steps());
    parts = std::move(next);
  }
  EXPECT_TRUE(at::equal(x, y));
}

double mean_loss(const Objective& objective, const at::Tensor& output, const at::Tensor& target,
                 const at::Tensor& input = {}) {
  const Loss loss = loss_of(objective, {output}, {.first = target, .second = {}}, {input});
  return loss.sum.item<double>() / loss.count;
}

TEST(Losses, AreTorchs) {
  const auto want = [](const char* name) { return expected().at("losses").at(name).get<double>(); };
  const at::Tensor logits = (at::arange(20, at::kFloat).view({4, 5}) * 1.7).sin() * 2;
  const at::Tensor labels = at::tensor({1, 0, 4, 2}, at::kLong);
  EXPECT_NEAR(mean_loss({}, logits, labels), want("cross_entropy"), 1e-6);
  EXPECT_NEAR(mean_loss({.smoothing = 0.1}, logits, labels), want("smoothed"), 1e-6);
  const at::Tensor rows = at::arange(24, at::kFloat).view({2, 3, 4}).cos();
  const at::Tensor marks = at::tensor({0, -100, 3, 1, 2, -100}, at::kLong).view({2, 3});
  EXPECT_NEAR(mean_loss({}, rows, marks), want("positions"), 1e-6);
  const at::Tensor maps = at::arange(48, at::kFloat).view({2, 4, 2, 3}).sin();
  EXPECT_NEAR(mean_loss({}, maps, at::arange(12, at::kLong).view({2, 2, 3}) % 4), want("maps"), 1e-6);
  const at::Tensor ids = at::tensor({0, 1, 2, 3, 3, 1}, at::kLong).view({2, 3});
  EXPECT_NEAR(mean_loss({}, rows, {}, ids), want("next_token"), 1e-6);
  const at::Tensor bits = (at::arange(20).view({4, 5}) % 3 == 0).to(at::kFloat);
  EXPECT_NEAR(mean_loss({.kind = Objective::Kind::Binary}, logits, bits), want("binary"), 1e-6);
  EXPECT_NEAR(mean_loss({}, logits, bits), want("mse"), 1e-6);
  EXPECT_NEAR(mean_loss({.kind = Objective::Kind::L1}, logits, bits), want("l1"), 1e-6);
}

TEST(Losses, OfAMixtureAreTheMixtureOfLosses) {
  const at::Tensor logits = (at::arange(20, at::kFloat).view({4, 5}) * 1.7).sin() * 2;
  const at::Tensor a = at::tensor({1, 0, 4, 2}, at::kLong), b = at::tensor({0, 1, 2, 4}, at::kLong);
  const Loss mixed = loss_of({}, {logits}, {.first = a, .second = b, .share = 0.3}, {});
  EXPECT_NEAR(mixed.sum.item<double>() / 4, 0.3 * mean_loss({}, logits, a) + 0.7 * mean_loss({}, logits, b),
              1e-6);
}

TEST(MetricsFigures, FollowTheirDefinitions) {
  const auto want = [](const char* name) { return expected().at("metrics").at(name).get<double>(); };
  const at::Tensor logits = (at::arange(140, at::kFloat).view({20, 7}) * 0.9).sin();
  const at::Tensor labels = at::arange(20, at::kLong) * 3 % 7;
  Metrics metrics;  // in two parts: figures are sums
  for (const auto& [first, last] : {std::pair<int, int>{0, 13}, std::pair<int, int>{13, 20}})
    metrics.add({}, {logits.slice(0, first, last)}, {.first = labels.slice(0, first, last), .second = {}}, {},
                logits.slice(0, first, last) * 2);
  for (const char* name : {"top1", "top5", "f1", "group-gap", "loss"})
    EXPECT_NEAR(metrics.value(name), want(name), 1e-6) << name;
  EXPECT_NEAR(metrics.value("fidelity"), 1, 1e-12);
  const at::Tensor grid = at::arange(400, at::kDouble).view({1, 1, 20, 20});
  const at::Tensor a = ((grid * 0.37).sin() + 1) / 2, b = (a + 0.2 * (grid * 0.11).cos()).clamp(0, 1);
  EXPECT_NEAR(structural_similarity(a, b).item<double>(), want("ssim"), 1e-6);
  EXPECT_NEAR(structural_similarity(a, a).item<double>(), 1, 1e-9);
}

/// Five steps over one batch of all samples, so that the shuffled order only reorders sums.
void expect_trained(const std::string& name) {
  const at::Tensor x = (at::arange(576, at::kFloat).view({16, 1, 6, 6}) * 0.31).sin();
  Data data;
  data.train = std::make_unique<InMemory>(std::vector<at::Tensor>{x}, at::arange(16, at::kLong) % 4);
  TrainingOptions options{.epochs = 5, .batch = 16};
  options.optimiser.weight_decay = 0.01;
  options.schedule = Schedule::Kind::Constant;
  std::vector<double> losses;
  Observer observer;
  observer.epoch = [&](const EpochReport& report) { losses.push_back(report.loss); };
  const auto alone = kernels::single_process();
  Trainer trainer(test::net(name), std::nullopt, data, options, *alone, observer);
  const models::Model trained = trainer.run();
  const auto& want = expected().at("trained");
  for (std::size_t i = 0; i < 5; ++i) EXPECT_NEAR(losses.at(i), want.at("losses").at(i).get<double>(), 2e-5);
  for (const auto& [key, numbers] : want.at("state").items()) {
    const at::Tensor wanted = at::tensor(numbers.get<std::vector<double>>(), at::kFloat);
    EXPECT_LT((trained.weights.at(key).flatten() - wanted).abs().max().item<float>(), 1e-4) << key;
  }
}

TEST(Training, OfAnExportedNetworkTakesTorchsCourse) { expect_trained("net"); }

TEST(Training, TurnsTheBatchNormsOfADecomposedExportOn) { expect_trained("net_decomposed"); }

}  // namespace
}  // namespace pollard::training
