// SPDX-License-Identifier: Apache-2.0
// The penalty reaches everything that leaves with a unit, and only that, with the strength the papers give.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "graph/error.h"
#include "tests/training/support.h"

namespace pollard::training {
namespace {

using Kind = SparsityOptions::Kind;

/// The network with zero gradients.
TrainedModel ready() {
  TrainedModel network(test::net());
  for (const Optimiser::Parameter& p : network.parameters())
    p.tensor.mutable_grad() = at::zeros_like(p.tensor.detach());
  return network;
}

at::Tensor weight(const TrainedModel& network, const std::string& name) {
  return network.weights().at(name).detach();
}
at::Tensor gradient(const TrainedModel& network, const std::string& name) {
  return network.weights().at(name).grad();
}

/// Squared norm of unit u of the network's one group: conv1 and conv2 write into a residual stream that fc reads.
double squared_norm(const TrainedModel& network, std::int64_t u) {
  double sum = 0;
  for (const char* name :
       {"conv1.weight", "conv2.weight", "bn1.weight", "bn1.bias", "bn2.weight", "bn2.bias"})
    sum += weight(network, name)[u].square().sum().item<double>();
  for (const char* name : {"conv2.weight", "fc.weight"})
    sum += weight(network, name).select(1, u).square().sum().item<double>();
  return sum;
}

TEST(Sparsity, GroupNormPenaltyIsDepGraphs) {
  TrainedModel network = ready();
  ASSERT_EQ(network.dependencies().groups.size(), 1u);
  Sparsity sparsity({.kind = Kind::GroupNorm, .strength = 0.01}, network.model().program,
                    network.dependencies());
  std::vector<double> norms;
  for (std::int64_t u = 0; u < 8; ++u) norms.push_back(std::sqrt(squared_norm(network, u)));
  const auto [low, high] = std::ranges::minmax(norms);
  EXPECT_LT(
      (sparsity.norms(network.weights()).at(0) - at::tensor(norms, at::kDouble)).abs().max().item<double>(),
      1e-6);
  sparsity.add_gradients(network.weights(), 0);
  for (std::int64_t u = 0; u < 8; ++u) {
    const double strength =
        0.01 * std::pow(2, 4 * (high - norms[static_cast<std::size_t>(u)]) / (high - low));
    for (const char* name : {"conv1.weight", "bn1.bias", "bn2.weight"}) {
      const at::Tensor gap = gradient(network, name)[u] - strength * weight(network, name)[u];
      EXPECT_LT(gap.abs().max().item<double>(), 1e-6) << name << " unit " << u;
    }
    const at::Tensor gap =
        gradient(network, "fc.weight").select(1, u) - strength * weight(network, "fc.weight").select(1, u);
    EXPECT_LT(gap.abs().max().item<double>(), 1e-6);
  }
  EXPECT_EQ(gradient(network, "fc.bias").abs().max().item<double>(), 0) << "the classes are in no group";
}

TEST(Sparsity, GrowingStrengthRisesToItsCeilingForTheWeakestUnit) {
  TrainedModel network = ready();
  Sparsity sparsity({.kind = Kind::Growing, .strength = 0.1, .interval = 2, .ceiling = 0.25},
                    network.model().program, network.dependencies());
  const at::Tensor norms = sparsity.norms(network.weights()).at(0);
  const auto weakest = norms.argmin().item<std::int64_t>(), strongest = norms.argmax().item<std::int64_t>();
  for (const auto& [step, wanted] :
       std::vector<std::pair<int, double>>{{0, 0.1}, {1, 0.1}, {2, 0.2}, {4, 0.25}}) {
    sparsity.add_gradients(network.weights(), step);
    const at::Tensor strength = sparsity.state().begin()->second;
    EXPECT_NEAR(strength[weakest].item<double>(), wanted, 1e-6) << step;
    EXPECT_NEAR(strength[strongest].item<double>(), 0, 1e-6) << step;
  }
}

TEST(Sparsity, BatchNormPenaltyIsTheSignOfScalesAlone) {
  TrainedModel network = ready();
  Sparsity sparsity({.kind = Kind::BatchNormScale, .strength = 0.01}, network.model().program,
                    network.dependencies());
  sparsity.add_gradients(network.weights(), 0);
  EXPECT_TRUE(at::allclose(gradient(network, "bn1.weight"), 0.01 * weight(network, "bn1.weight").sign()));
  EXPECT_EQ(gradient(network, "conv1.weight").abs().max().item<double>(), 0);
  EXPECT_EQ(gradient(network, "bn1.bias").abs().max().item<double>(), 0);
}

TEST(Sparsity, TrainingWithItSpreadsTheNormsApart) {
  const Data data = test::wave_data(64);
  const auto alone = kernels::single_process();
  const auto smallest_share = [&](const char* how) {
    TrainingOptions options{.epochs = 10, .batch = 16};
    options.rate = 0.05;
    options.sparsity = sparsity_from(how);
    Trainer trainer(test::net(), std::nullopt, data, options, *alone);
    trainer.run();
    const TrainedModel& network = trainer.network();
    const Sparsity all({.kind = Kind::GroupNorm}, network.model().program, network.dependencies());
    const at::Tensor norms = all.norms(network.weights()).at(0);
    return (norms.min() / norms.max()).item<double>();
  };
  EXPECT_LT(smallest_share("group-l2=2e-2"), 0.7 * smallest_share("none"));
}

TEST(Sparsity, ReadsItsNames) {
  EXPECT_DOUBLE_EQ(sparsity_from("group-l2=1e-3").strength, 1e-3);
  EXPECT_EQ(sparsity_from("bn-l1").kind, Kind::BatchNormScale);
  EXPECT_EQ(sparsity_from("none").kind, Kind::None);
  for (const char* wrong : {"group-l3", "group-l2=", "group-l2=x", "growing=-1"})
    EXPECT_THROW(sparsity_from(wrong), UserError) << wrong;
}

}  // namespace
}  // namespace pollard::training
