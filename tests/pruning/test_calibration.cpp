// SPDX-License-Identifier: Apache-2.0
// Which positions of the samples count.
#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "graph/dependencies.h"
#include "models/init.h"
#include "models/io/safetensors.h"
#include "models/registry.h"
#include "pruning/repair.h"
#include "pruning/rewrite.h"
#include "pruning/statistics.h"
#include "tests/paths.h"

namespace pollard::pruning {
namespace {

TEST(Calibration, RowsThatHoldDataAreCounted) {
  const at::Tensor mask = at::tensor({1, 1, 0, 1, 0, 0}).view({2, 3}), x = at::arange(24).view({2, 3, 4});
  const at::Tensor counted = at::stack({x[0][0], x[0][1], x[1][0]});
  EXPECT_TRUE(at::equal(counted_rows(x, mask), counted));
  EXPECT_TRUE(at::equal(counted_rows(x.view({6, 4}), mask), counted)) << "samples and positions joined";
  EXPECT_TRUE(at::equal(counted_rows(x, {}), x));
  EXPECT_TRUE(at::equal(counted_rows(x.view({4, 6}), mask), x.view({4, 6}))) << "something else";
  const at::Tensor heads = at::arange(48).view({2, 3, 2, 4});
  EXPECT_TRUE(
      at::equal(counted_rows(heads, mask), at::stack({heads[0][0][0], heads[0][0][1], heads[0][1][0],
                                                      heads[0][1][1], heads[1][0][0], heads[1][0][1]})));
}

/// What stands under padding must not reach the repaired weights: attention leaves it out, and so must the refit.
TEST(Calibration, RepairDoesNotSeePadding) {
  const models::Model dense = models::fresh_model(
      *models::find_family("bert"),
      R"({"vocab_size":97,"hidden_size":32,"num_hidden_layers":2,"num_attention_heads":4,"intermediate_size":48,"max_position_embeddings":40})",
      0);
  const graph::Dependencies d = graph::analyse(dense.program);
  graph::Removal removal(d);
  for (const graph::Group& group : d.groups) {
    const graph::Axis& axis = d.axes[static_cast<std::size_t>(group.axis)];
    if (axis.size == 48)
      removal.removed[static_cast<std::size_t>(group.axis)] = {0, 5, 6, 7, 20, 21, 22, 23, 40};
  }
  ASSERT_FALSE(removal.empty());
  const at::Tensor mask = (at::arange(12).unsqueeze(0) < at::arange(16).unsqueeze(1) % 8 + 5).to(at::kLong);
  std::vector<models::Model> repaired;
  for (const std::uint64_t seed : {1, 2}) {
    const at::Tensor ids = at::randint(97, {16, 12},
                                       at::make_generator<at::CPUGeneratorImpl>(std::uint64_t{0}), at::kLong),
                     others =
                         at::randint(97, {16, 12}, at::make_generator<at::CPUGeneratorImpl>(seed), at::kLong);
    CalibrationSet samples{.inputs = {}, .labels = {}, .mask = mask};
    for (const graph::Input* input : dense.program.user_inputs()) {
      const std::string& name = dense.program[input->value].name;
      samples.inputs.push_back(name.find("mask") != std::string::npos   ? mask
                               : name.find("type") != std::string::npos ? at::zeros_like(ids)
                                                                        : at::where(mask == 1, ids, others));
    }
    repaired.push_back(prune(dense, d, removal));
    const RepairReport report = repair(repaired.back(), dense, d, removal, samples);
    EXPECT_GT(report.ops.size(), 4u);
  }
  for (const auto& [name, weight] : repaired[0].weights)
    EXPECT_TRUE(at::allclose(weight, repaired[1].weights.at(name), 1e-4, 1e-5)) << name;
}

/// nn.MultiheadAttention works on [positions, samples, channels] and projects [positions x samples, channels]: padding is left
/// out of what is seen there as well.
TEST(Calibration, MomentsOfAttentionLeavePaddingOut) {
  const models::Model model = models::load(std::filesystem::path(test::data_folder()) / "cases/mha.pt2");
  const graph::Dependencies d = graph::analyse(model.program);
  const at::Tensor mask = (at::arange(8).unsqueeze(0) <= at::arange(8).unsqueeze(1)).to(at::kLong);
  const CalibrationSet samples{
      .inputs = {at::rand({8, 8, 32}, at::make_generator<at::CPUGeneratorImpl>(0ul))},
      .labels = {},
      .mask = mask};
  const auto weight = [&](const char* name) { return model.weights.at(name); };
  const at::Tensor in = at::linear(samples.inputs[0], weight("inp.weight"), weight("inp.bias"));
  std::vector<at::Tensor> parts;
  for (const at::Tensor& part :
       at::linear(in, weight("mha.in_proj_weight"), weight("mha.in_proj_bias")).chunk(3, -1))
    parts.push_back(part.view({8, 8, 4, 16}).transpose(1, 2));
  const at::Tensor heads =
      at::scaled_dot_product_attention(parts[0], parts[1], parts[2]).transpose(1, 2).reshape({8, 8, 64});
  const std::map<std::string, at::Tensor> expected{{"transpose", in}, {"reshape", heads}};

  const ScoreContext context{.model = model, .dependencies = d, .calibration = &samples, .wanted = {}};
  const Statistics seen = gather(context, find_contractions(model.program, d), {.full = true});
  std::size_t compared = 0;
  for (const Observed& o : seen.observed) {
    const auto found = expected.find(o.contraction.input);
    if (found == expected.end()) continue;
    const at::Tensor rows = found->second.index({mask.ne(0)}).to(at::kDouble);
    EXPECT_EQ(o.input->rows, 36) << found->first;
    EXPECT_TRUE(at::allclose(o.input->second[0], at::matmul(rows.t(), rows), 1e-4, 1e-4)) << found->first;
    ++compared;
  }
  EXPECT_EQ(compared, expected.size());
}

TEST(Calibration, TargetsBesideAnInputOfAnotherNameAreNoInput) {
  const models::Model model = models::fresh_model(
      *models::find_family("cifar_resnet"), R"({"depth":8,"num_filters":[4,4,4,4],"image_size":32})", 0);
  const std::filesystem::path path = std::filesystem::path(testing::TempDir()) / "frames.safetensors";
  const at::Tensor frames = at::rand({3, 3, 32, 32});
  models::io::save_safetensors(path, {{"frames", frames}, {"targets", at::rand({3, 7})}}, {}, true);
  const CalibrationSet set = read_calibration(path, model.program);
  std::filesystem::remove(path);
  ASSERT_EQ(set.inputs.size(), 1u);
  EXPECT_TRUE(at::equal(set.inputs.front(), frames));
}

}  // namespace
}  // namespace pollard::pruning
