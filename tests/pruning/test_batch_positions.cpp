// SPDX-License-Identifier: Apache-2.0
// A program exported with a fixed batch that counts its samples to look up a mask runs at other batch sizes.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "graph/error.h"
#include "models/golden_fill.h"
#include "pruning/calibration.h"
#include "pruning/repair.h"
#include "pruning/rewrite.h"
#include "tests/paths.h"

namespace pollard::pruning {
namespace {

/// GPT-2 of transformers, exported for two sequences of 16: its causal mask is [2, 1, 16, 16].
models::Model gpt2() { return models::load(pollard::test::data_folder() + "/cases/hf_gpt2.pt2"); }

at::Tensor sequences(std::int64_t count) {
  return models::golden_unit("ids", {count, 16}).mul(1e4).abs().to(at::kLong).remainder(997);
}

at::Tensor run(const models::Model& model, const graph::Program& program, const at::Tensor& ids) {
  return kernels::Executor(program).run(model.weights, {ids}).front();
}

TEST(BatchPositions, ALongerBatchComputesWhatTheOwnOneDoes) {
  const models::Model model = gpt2();
  const at::Tensor ids = sequences(8);
  std::vector<at::Tensor> pairs;
  for (std::int64_t i = 0; i < 8; i += 2) pairs.push_back(run(model, model.program, ids.narrow(0, i, 2)));
  const graph::Program longer = with_batch(model.program, graph::analyse(model.program), 8);
  EXPECT_LT((run(model, longer, ids) - at::cat(pairs)).abs().max().item<double>(), 1e-5);
  EXPECT_EQ(longer.ops.size(), model.program.ops.size());
  const graph::Program single = with_batch(model.program, graph::analyse(model.program), 1);
  EXPECT_LT((run(model, single, ids.narrow(0, 0, 1)) - pairs[0].narrow(0, 0, 1)).abs().max().item<double>(),
            1e-5);
}

TEST(BatchPositions, ANetworkWithAMaskOfItsBatchIsRepaired) {
  const models::Model dense = gpt2();
  const graph::Dependencies d = graph::analyse(dense.program);
  graph::Removal removal(d);
  for (const graph::Group& group : d.groups)
    if (const auto axis = static_cast<std::size_t>(group.axis); d.axes[axis].role == graph::Role::Head)
      removal.removed[axis] = {1, 2};
  models::Model pruned = prune(dense, d, removal);
  const CalibrationSet samples{.inputs = {sequences(64)}, .labels = {}};
  const graph::Program whole = with_batch(dense.program, d, 64);
  const at::Tensor wanted = run(dense, whole, samples.inputs.front());
  const auto error = [&] {
    const graph::Program small = with_batch(pruned.program, graph::analyse(pruned.program), 64);
    return ((run(pruned, small, samples.inputs.front()) - wanted).norm() / wanted.norm()).item<double>();
  };
  const double sliced = error();
  const RepairReport report = repair(pruned, dense, d, removal, samples);
  EXPECT_EQ(report.samples, 64);
  EXPECT_FALSE(report.ops.empty());
  EXPECT_LT(error(), 0.9 * sliced);
}

TEST(BatchPositions, AMaskThatDiffersBetweenSamplesIsRefused) {
  models::Model model = gpt2();
  const auto op = [&](const std::string& name) -> graph::Op& {
    return *std::ranges::find(model.program.ops, name, &graph::Op::name);
  };
  // Sequence s may now look s positions ahead.
  op("index_2").target = "aten.add.Tensor";
  op("index_2").args = {{"self", graph::Arg(op("unsqueeze_3").outputs[0])},
                        {"other", graph::Arg(op("unsqueeze_9").outputs[0])}};
  try {
    with_batch(model.program, graph::analyse(model.program), 8);
    FAIL() << "lengthened";
  } catch (const UserError& error) {
    EXPECT_EQ(error.parts().code, "E0391");
    EXPECT_NE(error.parts().message.find("counts the samples"), std::string::npos);
  }
}

}  // namespace
}  // namespace pollard::pruning
