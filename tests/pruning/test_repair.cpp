// SPDX-License-Identifier: Apache-2.0
// Repair recovers what can be recovered: where every removed unit has a twin that stays, the refitted network computes
// what the dense one computes, through convolutions, norms, attention and every kind of recurrent op.
#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "models/golden_fill.h"
#include "models/registry.h"
#include "pruning/least_squares.h"
#include "pruning/repair.h"
#include "pruning/rewrite.h"
#include "pruning/verify.h"

namespace pollard::pruning {
namespace {

struct TwinCase {
  std::string name, family, spec;
  std::vector<std::int64_t> input;
};

void PrintTo(const TwinCase& c, std::ostream* out) { *out << c.name; }

/// The goldens' rule gives every tensor content; no statistic or scale is trivial.
models::Model filled_model(const TwinCase& c) {
  models::Model model = models::fresh_model(*models::find_family(c.family), c.spec, 0);
  for (const graph::Input& input : model.program.inputs) {
    if (input.constant || input.kind == graph::Input::Kind::User) continue;
    at::Tensor& tensor = model.weights.at(input.source);
    if (tensor.is_floating_point()) tensor = models::golden_parameter(input.source, tensor.sizes());
  }
  return model;
}

/// Where a unit is written: output rows of a weight, any place of a bias, a table or a statistic.
bool writes(const at::Tensor& tensor, std::int32_t dim) {
  return dim == 0 || tensor.dim() == 1 || tensor.dim() == 3;
}

/// The second half of every group's units become copies of the first half where they are written.
void make_twins(models::Model& model, const graph::Dependencies& d) {
  for (const graph::Group& group : d.groups) {
    const graph::Axis& axis = d.axes[static_cast<std::size_t>(group.axis)];
    for (const graph::Member& m : axis.members) {
      const graph::Input& input = model.program.inputs[static_cast<std::size_t>(m.input)];
      at::Tensor& tensor = model.weights.at(input.source);
      if (!writes(tensor, m.dim) || axis.role == graph::Role::HeadDim) continue;
      const auto unit =
          graph::unit_of_index(d, d[input.value].dims[static_cast<std::size_t>(m.dim)], group.axis);
      std::map<std::int64_t, std::vector<std::int64_t>> places;
      for (std::size_t i = 0; i < unit.size(); ++i)
        if (unit[i] >= 0) places[unit[i]].push_back(static_cast<std::int64_t>(i));
      tensor = tensor.clone();
      for (std::int64_t u = 0; u < axis.size / 2; ++u)
        for (std::size_t k = 0; k < places[u].size(); ++k)
          tensor.select(m.dim, places[u + axis.size / 2][k]).copy_(tensor.select(m.dim, places[u][k]));
    }
  }
}

graph::Removal second_halves(const graph::Dependencies& d) {
  graph::Removal removal(d);
  for (const graph::Group& group : d.groups) {
    const graph::Axis& axis = d.axes[static_cast<std::size_t>(group.axis)];
    if (axis.role == graph::Role::HeadDim) continue;
    for (std::int64_t u = axis.size / 2; u < axis.size / 2 * 2; ++u)
      removal.removed[static_cast<std::size_t>(group.axis)].push_back(u);
  }
  // Zero initial states have no units of their own; they get shorter with their layers.
  for (std::size_t a = 0; a < d.axes.size(); ++a)
    if (d.axes[a].tie >= 0 && !d.axes[a].stored)
      for (std::int64_t u = d.axes[a].size / 2; u < d.axes[a].size / 2 * 2; ++u)
        removal.removed[a].push_back(u);
  return removal;
}

CalibrationSet random_samples(const std::vector<std::int64_t>& shape, std::int64_t samples,
                              std::uint64_t seed) {
  std::vector<std::int64_t> sizes = shape;
  sizes.insert(sizes.begin(), samples);
  return {.inputs = {at::randn(sizes, at::make_generator<at::CPUGeneratorImpl>(seed))}, .labels = {}};
}

at::Tensor run(const models::Model& model, const CalibrationSet& samples, bool train = false) {
  const graph::Program program = with_batch(model.program, graph::analyse(model.program), samples.samples());
  kernels::RunOptions options;
  options.train = train;
  return kernels::Executor(program).run(model.weights, samples.inputs, options).front();
}

double distance(const at::Tensor& a, const at::Tensor& b) {
  return ((a - b).norm() / b.norm()).item<double>();
}

class Repair : public ::testing::TestWithParam<TwinCase> {
 protected:
  models::Model dense = filled_model(GetParam());
  graph::Dependencies d = graph::analyse(dense.program);
};

TEST_P(Repair, TwinsLeaveWithoutATrace) {
  make_twins(dense, d);
  const graph::Removal removal = second_halves(d);
  const CalibrationSet samples = random_samples(GetParam().input, 256, 1),
                       unseen = random_samples(GetParam().input, 64, 2);
  models::Model pruned = prune(dense, d, removal);
  const at::Tensor expected = run(dense, unseen);
  const double sliced = distance(run(pruned, unseen), expected);
  RepairOptions options;
  options.refit.ridge = 1e-7;
  const RepairReport report = repair(pruned, dense, d, removal, samples, options);
  EXPECT_LT(distance(run(pruned, unseen), expected), 5e-3);
  EXPECT_GT(sliced, 0.05) << "slicing alone already gives the dense outputs";
  EXPECT_TRUE(report.left.empty()) << report.left.front();
  EXPECT_EQ(report.samples, 256);
}

TEST_P(Repair, AnUnprunedNetworkStaysBitForBit) {
  const graph::Removal nothing(d);
  models::Model pruned = prune(dense, d, nothing);
  repair(pruned, dense, d, nothing, random_samples(GetParam().input, 32, 1));
  for (const auto& [name, tensor] : dense.weights)
    EXPECT_TRUE(at::equal(pruned.weights.at(name), tensor)) << name;
}

TEST_P(Repair, TheMemoryBoundLeavesSamplesOut) {
  const graph::Removal removal = second_halves(d);
  models::Model pruned = prune(dense, d, removal);
  const CalibrationSet samples = random_samples(GetParam().input, 64, 1);
  const RepairReport whole = repair(pruned, dense, d, removal, samples);
  RepairOptions options;
  options.memory_bytes = whole.activation_bytes / 4;
  const RepairReport bounded = repair(pruned, dense, d, removal, samples, options);
  EXPECT_EQ(whole.samples, 64);
  EXPECT_EQ(bounded.samples, 16);
  EXPECT_EQ(bounded.given, 64);
  EXPECT_LE(bounded.activation_bytes, options.memory_bytes);
}

const TwinCase kCases[] = {
    {"ResNet", "cifar_resnet", R"({"depth":8,"num_filters":[8,8,16,16],"image_size":32})", {3, 32, 32}},
    {"ViT",
     "vit",
     R"({"img_size":32,"patch_size":8,"embed_dim":32,"depth":2,"num_heads":4,"num_classes":10})",
     {3, 32, 32}},
    {"LSTM",
     "rnn_classifier",
     R"({"kind":"lstm","input_size":8,"hidden_size":16,"bidirectional":false})",
     {9, 8}},
    {"GRU", "rnn_classifier", R"({"kind":"gru","input_size":8,"hidden_size":16})", {9, 8}},
    {"RNN",
     "rnn_classifier",
     R"({"kind":"rnn","input_size":8,"hidden_size":16,"bias":false,"last":"hidden"})",
     {9, 8}}};
INSTANTIATE_TEST_SUITE_P(All, Repair, ::testing::ValuesIn(kCases),
                         [](const auto& test) { return test.param.name; });

/// Training mode normalises with the batch's own statistics: with re-estimated ones, evaluation gives the same.
/// 48 noisy rows of 40 columns say less than the start does; 4,096 exact ones say all.
TEST(ValidatedEquations, TheRidgeFollowsWhatTheRowsCanSay) {
  const auto generator = at::make_generator<at::CPUGeneratorImpl>(7);
  const at::Tensor w = at::randn({3, 40}, generator), b = at::zeros({3});
  const auto far_off = [&](const NormalEquations::Solution& s) {
    return (s.weight - w).norm().item<double>();
  };
  const at::Tensor few = at::randn({48, 40}, generator);
  const at::Tensor noisy = at::mm(few, w.t()) + 3 * at::randn({48, 3}, generator);
  NormalEquations plain(40, 3, true);
  plain.add(few, noisy);
  ValidatedEquations careful(40, 3, true);
  careful.add(few, noisy);
  EXPECT_LT(far_off(careful.solve(w, b, 1e-3)), 0.9 * far_off(plain.solve(w, b, 1e-3)));
  const at::Tensor many = at::randn({4096, 40}, generator);
  ValidatedEquations exact(40, 3, true);
  exact.add(many, at::mm(many, w.t()));
  EXPECT_LT(far_off(exact.solve(at::zeros_like(w), b, 1e-3)), 1e-3 * w.norm().item<double>());
}

TEST(BatchNormReestimation, GivesWhatTheBatchsOwnStatisticsGive) {
  models::Model model = filled_model(kCases[0]);
  const CalibrationSet samples = random_samples(kCases[0].input, 64, 3);
  const at::Tensor expected = run(model, samples, true);
  EXPECT_GT(distance(run(model, samples), expected), 0.05);
  const RepairReport report = reestimate_batch_norms(model, samples);
  EXPECT_LT(distance(run(model, samples), expected), 1e-3);
  EXPECT_EQ(report.ops.size(), 9u);
}

}  // namespace
}  // namespace pollard::pruning
