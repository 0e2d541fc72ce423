// SPDX-License-Identifier: Apache-2.0
// Every exported case and every built-in family's small networks: the lowered program computes what the program does.
#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "kernels/lowering/lowering.h"
#include "models/capture.h"
#include "models/registry.h"
#include "tests/models/support/exported_cases.h"

namespace pollard::models {
namespace {

using Inputs = std::vector<at::Tensor>;

// Single precision, sums in another order.
constexpr double kTolerance = 2e-5;

/// Largest difference against the largest value.
double distance(const at::Tensor& got, const at::Tensor& want) {
  if (got.sizes() != want.sizes() || got.scalar_type() != want.scalar_type()) return INFINITY;
  if (want.numel() == 0) return 0;
  const at::Tensor a = got.to(at::kDouble), b = want.to(at::kDouble);
  const double scale = std::max(b.abs().max().item<double>(), 1e-30);
  return a.sub(b).abs().max().item<double>() / scale;
}

void expect_same(const kernels::Executor& plain, const kernels::Weights& weights,
                 const kernels::Lowered& lowered, const Inputs& inputs, const std::string& what) {
  const auto want = plain.run(weights, inputs);
  const auto got = kernels::Executor(lowered.program).run(lowered.weights, inputs);
  ASSERT_EQ(got.size(), want.size()) << what;
  for (std::size_t i = 0; i < got.size(); ++i)
    EXPECT_LE(distance(got[i], want[i]), kTolerance) << what << " output " << i;
}

class LoweredCases : public ::testing::TestWithParam<std::string> {};

TEST_P(LoweredCases, ComputeWhatTheProgramsCompute) {
  const Model model = test::read_case(test::cases_folder() / (GetParam() + ".pt2"));
  const kernels::Executor plain(model.program);
  expect_same(plain, model.weights, kernels::lower(model.program, model.weights, {.fewest_macs = 0}),
              model.sample_inputs, GetParam());
  for (const kernels::LoweringRule& rule : kernels::lowering_rules())
    expect_same(
        plain, model.weights,
        kernels::lower(model.program, model.weights, {.without = {std::string(rule.name)}, .fewest_macs = 0}),
        model.sample_inputs, GetParam() + " without " + std::string(rule.name));
}

INSTANTIATE_TEST_SUITE_P(All, LoweredCases, ::testing::ValuesIn(test::case_names(test::cases_folder())),
                         [](const auto& test) { return test.param; });

/// The example inputs, longer along every symbolic dimension.
Inputs longer_inputs(const Network& network) {
  const auto examples = network.examples();
  Inputs inputs = network.example_inputs();
  for (std::size_t i = 0; i < inputs.size(); ++i)
    for (std::size_t d = 0; d < examples[i].shape.size(); ++d) {
      const Dim& dim = examples[i].shape[d];
      if (dim.symbol.empty()) continue;
      const std::int64_t size = std::min(dim.symbol == "batch" ? 5 : dim.size + 3, dim.max.value_or(1 << 20));
      const auto axis = static_cast<std::int64_t>(d);
      inputs[i] = at::cat({inputs[i], inputs[i], inputs[i]}, axis).narrow(axis, 0, size).contiguous();
    }
  return inputs;
}

std::vector<std::string> family_names() {
  std::vector<std::string> names;
  for (const Family& family : families()) names.push_back(family.name);
  return names;
}

class LoweredFamilies : public ::testing::TestWithParam<std::string> {};

TEST_P(LoweredFamilies, ComputeWhatTheProgramsCompute) {
  const Family& family = *find_family(GetParam());
  for (const std::string& spec : family.small_specs) {
    const auto network = family.build(spec);
    network->initialise(at::make_generator<at::CPUGeneratorImpl>(1));
    const Captured captured = capture(*network);
    const kernels::Executor plain(captured.program);
    const kernels::Lowered lowered = kernels::lower(captured.program, captured.weights, {.fewest_macs = 0});
    expect_same(plain, captured.weights, lowered, network->example_inputs(), spec);
    expect_same(plain, captured.weights, lowered, longer_inputs(*network), spec + " longer");
  }
}

std::ptrdiff_t count(const graph::Program& program, std::string_view target) {
  return std::ranges::count(program.ops, target, &graph::Op::target);
}

Captured captured(const char* name) {
  const Family& family = *find_family(name);
  const auto network = family.build(family.small_specs.front());
  network->initialise(at::make_generator<at::CPUGeneratorImpl>(1));
  return capture(*network);
}

TEST(LoweredFlatten, RunsEveryFocusedAttentionInOneCall) {
  for (const char* name : {"flatten_deit", "flatten_swin", "flatten_pvt", "flatten_cswin"}) {
    const Captured plain = captured(name);
    const auto wanted = count(plain.program, "aten.softplus.default") / 2;  // of queries and of keys
    const kernels::Lowered lowered = kernels::lower(plain.program, plain.weights);
    EXPECT_GT(wanted, 0) << name;
    EXPECT_EQ(count(lowered.program, "pollard.focused_linear_attention.default"), wanted) << name;
  }
}

TEST(LoweredEfficientVit, RunsEveryCascadeInOneCall) {
  const Captured plain = captured("efficientvit_msra");
  EXPECT_GT(count(plain.program, "aten.scaled_dot_product_attention.default"), 4);
  for (const at::DeviceType device : {at::kCPU, at::kCUDA}) {
    const kernels::Lowered lowered = kernels::lower(plain.program, plain.weights, {.device = device});
    EXPECT_EQ(count(lowered.program, "aten.scaled_dot_product_attention.default"), 0);
    EXPECT_EQ(count(lowered.program, "pollard.cascaded_group_attention.default"), 4);  // blocks
  }
}

/// Passes of the design study's layers read their tokens backwards or by columns too.
TEST(LoweredVisionLstm, RunsEveryCellInOneCall) {
  for (const auto& [name, spec, cells] :
       {std::tuple("vision_lstm", R"({"dim":16,"depth":3,"mlstm":"parallel"})", 3),
        std::tuple("vision_lstm", R"({"dim":16,"depth":2,"mlstm":"parallel","legacy_norm":true})", 2),
        std::tuple("vision_lstm2", R"({"dim":16,"depth":2,"mlstm":"parallel"})", 4),
        std::tuple("vision_lstm", R"({"dim":16,"depth":2,"mlstm":"chunkwise"})", 2),
        std::tuple("vision_lstm2", R"({"dim":16,"depth":1,"mlstm":"chunkwise","mlstm_chunk":75})", 2),
        std::tuple("vision_lstm", R"({"dim":16,"depth":2,"stride":8,"mlstm":"auto"})", 2)}) {
    const Model plain = fresh_model(*find_family(name), spec, 0);
    const kernels::Lowered lowered = kernels::lower(plain.program, plain.weights);
    EXPECT_EQ(count(lowered.program, "pollard.packed_mlstm_cell.default"), cells) << name;
    EXPECT_EQ(count(lowered.program, "aten.einsum.default"), 0) << name;
  }
}

/// Every second layer's kernels visit the tokens from the last to the first instead of reading flipped copies.
TEST(LoweredVisionLstm, ReadsItsTokensBackwardsWhereTheyLie) {
  const Model plain = fresh_model(*find_family("vision_lstm"), R"({"dim":16,"depth":4})", 0);
  EXPECT_EQ(count(plain.program, "aten.flip.default"), 4);
  const kernels::Lowered lowered = kernels::lower(plain.program, plain.weights);
  EXPECT_EQ(count(lowered.program, "aten.flip.default"), 0);
  const auto backwards = [](const graph::Op& op) { return op.bool_or("backwards", false); };
  EXPECT_EQ(std::ranges::count_if(lowered.program.ops, backwards), 4);  // convolution and cell of two layers
}

/// Chunks of 3, 3 and 1 positions.
Captured cell_in_chunks() {
  const Family& family = *find_family("mlstm_cell");
  const auto network =
      family.build(R"({"dim":16,"num_heads":4,"seq":7,"network":"projected","form":"chunkwise","chunk":3})");
  network->initialise(at::make_generator<at::CPUGeneratorImpl>(1));
  return capture(*network);
}

/// Those of all seven; the first chunk is one of its own where the others are not recognised.
std::ptrdiff_t mlstms_in(const graph::Program& program, const kernels::Weights& weights) {
  const kernels::Lowered lowered = kernels::lower(program, weights);
  return std::ranges::count_if(lowered.program.ops, [&](const graph::Op& op) {
    return op.target == "pollard.mlstm.default" && lowered.program[op.outputs[0]].shape[2].hint == 7;
  });
}

/// A number, or a list of one.
bool add_to(graph::Arg& arg, std::int64_t by) {
  if (auto* list = arg.as<graph::Arg::List>()) return list->size() == 1 && add_to(list->front(), by);
  if (auto* real = arg.as<double>()) return *real += static_cast<double>(by), true;
  auto* integer = arg.as<std::int64_t>();
  return integer && (*integer += by, true);
}

/// Each number of each op between the gates and the result, made less by one, makes it something else.
TEST(LoweredMlstm, RecognisesChunksByAllOfTheirNumbers) {
  const Captured plain = cell_in_chunks();
  EXPECT_EQ(mlstms_in(plain.program, plain.weights), 1);
  const auto is = [](std::string_view base) {
    return [base](const graph::Op& op) { return op.base_name() == base; };
  };
  const auto& ops = plain.program.ops;
  const auto from = std::ranges::find_if(ops, is("log_sigmoid")),
             to = std::ranges::find_if(ops, is("layer_norm"));
  ASSERT_TRUE(from != ops.end() && to != ops.end());
  int changed = 0;
  for (auto op = from; op != to; ++op)
    for (std::size_t a = 0; a < op->args.size(); ++a) {
      graph::Program other = plain.program;
      graph::Op& target = other.ops[static_cast<std::size_t>(op - ops.begin())];
      if (!add_to(target.args[a].arg, -1)) continue;
      ++changed;
      EXPECT_EQ(mlstms_in(other, plain.weights), 0) << op->target << " " << op->args[a].name;
    }
  EXPECT_GT(changed, 80);
}

/// Chunk by chunk, an operand that is another value of the same shape makes it something else.
TEST(LoweredMlstm, RecognisesChunksByAllOfTheirOperands) {
  const Captured plain = cell_in_chunks();
  int changed = 0;
  for (std::size_t i = 0; i < plain.program.ops.size(); ++i)
    for (const char* name : {"self", "other"}) {
      const auto& op = plain.program.ops[i];
      const auto own = op.tensor(name);
      const bool inside = op.base_name() != "linear" && op.base_name() != "layer_norm" && own;
      if (!inside || plain.program[op.outputs[0]].shape.size() < 3) continue;
      const auto twin =
          std::ranges::find_if(plain.program.ops.rend() - static_cast<std::ptrdiff_t>(i),
                               plain.program.ops.rend(), [&](const graph::Op& before) {
                                 return before.outputs[0] != *own &&
                                        plain.program[before.outputs[0]].shape == plain.program[*own].shape;
                               });
      if (twin == plain.program.ops.rend()) continue;
      graph::Program other = plain.program;
      other.ops[i].set(name, twin->outputs[0]);
      ++changed;
      const kernels::Lowered lowered = kernels::lower(other, plain.weights);
      const at::Tensor x = at::randn({2, 7, 16});
      expect_same(kernels::Executor(other), plain.weights, lowered, {x}, op.target + " " + name);
    }
  EXPECT_GT(changed, 60);
}

INSTANTIATE_TEST_SUITE_P(All, LoweredFamilies, ::testing::ValuesIn(family_names()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace pollard::models
