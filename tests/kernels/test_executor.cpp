// SPDX-License-Identifier: Apache-2.0
#include "kernels/executor.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "graph/error.h"
#include "tests/kernels/support/program_builder.h"

namespace pollard::kernels {
namespace {

using graph::Arg;
using graph::DType;
using graph::ValueId;
using test::ProgramBuilder;

/// y = relu(x W^T + b)
ProgramBuilder linear_relu() {
  ProgramBuilder b;
  const ValueId w = b.weight("w", {3, 4}), bias = b.weight("b", {3}), x = b.input("x", {2, 4});
  const ValueId h = b.tensor("h", {2, 3}), y = b.tensor("y", {2, 3});
  b.op("aten.linear.default", {{"input", x}, {"weight", w}, {"bias", bias}}, {h});
  b.op("aten.relu.default", {{"self", h}}, {y});
  b.output(y);
  return b;
}

Weights linear_weights() { return {{"w", at::randn({3, 4})}, {"b", at::randn({3})}}; }

TEST(Executor, ComputesWhatTheOpsCompute) {
  const Weights weights = linear_weights();
  const at::Tensor x = at::randn({2, 4});
  const auto out = Executor(linear_relu().program).run(weights, {x});
  EXPECT_TRUE(at::equal(out.at(0), at::relu(at::linear(x, weights.at("w"), weights.at("b")))));
}

TEST(Executor, ResultsAreOrdinaryTensorsWithoutAGraph) {
  Weights weights = linear_weights();
  weights["w"].requires_grad_();
  const at::Tensor out = Executor(linear_relu().program).run(weights, {at::randn({2, 4})}).at(0);
  EXPECT_FALSE(out.requires_grad());
  EXPECT_FALSE(out.is_inference());
}

TEST(Executor, DifferentiatesWithRespectToWeightsWhenAsked) {
  Weights weights = linear_weights();
  for (auto& [name, tensor] : weights) tensor.requires_grad_();
  const at::Tensor x = at::randn({2, 4});
  const auto out = Executor(linear_relu().program).run(weights, {x}, {.autograd = true});
  out.at(0).sum().backward();
  ASSERT_TRUE(weights.at("w").grad().defined());
  EXPECT_TRUE(at::allclose(weights.at("b").grad(), (out[0] > 0).to(at::kFloat).sum(0)));
}

TEST(Executor, RunsAllFloatingArithmeticInTheTypeAsked) {
  ProgramBuilder b;
  const ValueId w = b.weight("w", {3, 4}, graph::Input::Kind::Parameter, DType::BFloat16),
                x = b.input("x", {2, 4});
  const ValueId low = b.tensor("low", {2, 4}, DType::BFloat16), y = b.tensor("y", {2, 3}, DType::BFloat16);
  const ValueId grid = b.tensor("grid", {3}, DType::Float32), third = b.tensor("third", {3});
  const ValueId whole = b.tensor("whole", {3}, DType::Int64), z = b.tensor("z", {2, 3});
  b.op("aten.to.dtype", {{"self", x}, {"dtype", DType::BFloat16}}, {low});
  b.op("aten.linear.default", {{"input", low}, {"weight", w}}, {y});
  b.op("aten.linspace.default", {{"start", 0.0}, {"end", 1.0}, {"steps", std::int64_t{3}}}, {grid});
  b.op("aten.arange.default", {{"end", std::int64_t{3}}}, {whole});
  b.op("aten.div.Tensor", {{"self", whole}, {"other", 3.0}}, {third});
  b.op("aten.add.Tensor", {{"self", y}, {"other", third}}, {z});
  for (ValueId id : {y, grid, third, z, whole}) b.output(id);
  const Weights weights{{"w", at::randn({3, 4}).to(at::kBFloat16)}};
  const at::Tensor input = at::randn({2, 4});
  const auto out = Executor(b.program).run(weights, {input}, {.compute_type = at::kDouble});
  for (int i = 0; i < 4; ++i) EXPECT_EQ(out[i].scalar_type(), at::kDouble) << i;
  EXPECT_EQ(out[4].scalar_type(), at::kLong);
  EXPECT_TRUE(at::equal(out[0], at::linear(input.to(at::kDouble), weights.at("w").to(at::kDouble))));
  EXPECT_EQ(Executor(b.program).run(weights, {input}).at(0).scalar_type(), at::kBFloat16);
}

TEST(Executor, NeverWritesToWeightsOrInputs) {
  ProgramBuilder b;
  const ValueId w = b.weight("w", {4}), x = b.input("x", {2, 4});
  const ValueId row = b.tensor("row", {4}), zeroed = b.tensor("zeroed", {4}), seen = b.tensor("seen", {4});
  const ValueId doubled = b.tensor("doubled", {4}), sum = b.tensor("sum", {2, 4});
  b.op("aten.select.int", {{"self", x}, {"dim", std::int64_t{0}}, {"index", std::int64_t{1}}}, {row});
  b.op("aten.zero_.default", {{"self", row}}, {zeroed});
  b.op("aten.dropout.default", {{"input", w}, {"p", 0.5}, {"train", false}},
       {seen});  // gives its argument back
  b.op("aten.mul_.Tensor", {{"self", seen}, {"other", 2.0}}, {doubled});
  b.op("aten.add.Tensor", {{"self", x}, {"other", w}}, {sum});
  b.output(sum);
  const Weights weights{{"w", at::ones({4})}};
  const at::Tensor input = at::ones({2, 4});
  const auto out = Executor(b.program).run(weights, {input});
  EXPECT_TRUE(at::equal(out.at(0)[0], at::full({4}, 3.0)));  // the program's own copy changed
  EXPECT_TRUE(at::equal(out.at(0)[1], at::full({4}, 2.0)));
  EXPECT_TRUE(at::equal(weights.at("w"), at::ones({4})));
  EXPECT_TRUE(at::equal(input, at::ones({2, 4})));
}

ProgramBuilder batch_norm() {
  ProgramBuilder b;
  const auto buffer = graph::Input::Kind::Buffer;
  const ValueId mean = b.weight("mean", {4}, buffer), var = b.weight("var", {4}, buffer),
                x = b.input("x", {8, 4});
  const ValueId y = b.tensor("y", {8, 4}), z = b.tensor("z", {8, 4});
  b.op("aten.batch_norm.default",
       {{"input", x},
        {"weight", Arg()},
        {"bias", Arg()},
        {"running_mean", mean},
        {"running_var", var},
        {"training", false},
        {"momentum", 0.1},
        {"eps", 1e-5},
        {"cudnn_enabled", false}},
       {y});
  b.op("aten.dropout.default", {{"input", y}, {"p", 0.5}, {"train", false}}, {z});
  b.output(z);
  return b;
}

TEST(Executor, TrainingUsesBatchStatisticsAndDropoutAndHandsOutTheNewOnes) {
  const Executor executor(batch_norm().program);
  const Weights weights{{"mean", at::zeros({4})}, {"var", at::ones({4})}};
  const at::Tensor x = at::randn({8, 4}) * 3 + 5;
  Weights mutated;
  const auto out = executor.run(weights, {x}, {.train = true, .mutated = &mutated}).at(0);
  EXPECT_GT((out == 0).sum().item<std::int64_t>(), 0);
  EXPECT_TRUE(at::equal(weights.at("mean"), at::zeros({4})));
  ASSERT_TRUE(mutated.contains("mean"));
  EXPECT_TRUE(at::allclose(mutated.at("mean"), 0.1 * x.mean(0)));
  EXPECT_TRUE(at::allclose(executor.run(weights, {x}).at(0), x / std::sqrt(1 + 1e-5)));
}

TEST(Executor, WithoutTrainingAProgramExportedInTrainModeEvaluates) {
  ProgramBuilder b = batch_norm();
  b.program.ops[0].set("training", true);
  b.program.ops[1].set("train", true);
  const Weights weights{{"mean", at::zeros({4})}, {"var", at::ones({4})}};
  const at::Tensor x = at::randn({8, 4});
  EXPECT_TRUE(at::allclose(Executor(b.program).run(weights, {x}).at(0), x / std::sqrt(1 + 1e-5)));
}

TEST(Executor, NormalisationWithoutRunningStatisticsAlwaysUsesTheBatch) {
  ProgramBuilder b;
  const ValueId x = b.input("x", {8, 4}), y = b.tensor("y", {8, 4});
  b.op("aten.batch_norm.default",
       {{"input", x},
        {"weight", Arg()},
        {"bias", Arg()},
        {"running_mean", Arg()},
        {"running_var", Arg()},
        {"training", true},
        {"momentum", 0.1},
        {"eps", 0.0},
        {"cudnn_enabled", false}},
       {y});
  b.output(y);
  const at::Tensor out = Executor(b.program).run({}, {at::randn({8, 4}) + 5}).at(0);
  EXPECT_LT(out.mean(0).abs().max().item<float>(), 1e-5);
}

TEST(Executor, ComputesSizesAsItGoes) {
  ProgramBuilder b;
  const ValueId x = b.input("x", {2, 6});
  const ValueId n = b.size("n"), half = b.size("half"), y = b.tensor("y", {2, 6}), z = b.tensor("z", {12});
  b.op("aten.sym_size.int", {{"self", x}, {"dim", std::int64_t{0}}}, {n});
  b.op("_operator.mul", {{"a", n}, {"b", std::int64_t{3}}}, {half});
  b.op("aten.reshape.default", {{"self", x}, {"shape", Arg::List{half, std::int64_t{-1}}}}, {y});
  b.op("aten.add.Tensor", {{"self", y}, {"other", n}}, {z});
  b.output(z);
  const Executor executor(b.program);
  const auto out = executor.run({}, {at::zeros({5, 6})}).at(0);
  EXPECT_TRUE(at::equal(out, at::full({15, 2}, 5.0)));
}

TEST(Executor, SpreadsListsOverOutputs) {
  ProgramBuilder b;
  const ValueId x = b.input("x", {4, 2});
  const ValueId a = b.tensor("a"), c = b.tensor("c"), values = b.tensor("values"), order = b.tensor("order");
  b.op("aten.split_with_sizes.default",
       {{"self", x}, {"split_sizes", Arg::List{std::int64_t{1}, std::int64_t{3}}}}, {a, c});
  b.op("aten.max.dim", {{"self", c}, {"dim", std::int64_t{0}}}, {values, order});
  for (ValueId id : {a, values}) b.output(id);
  const at::Tensor input = at::randn({4, 2});
  const auto out = Executor(b.program).run({}, {input});
  EXPECT_TRUE(at::equal(out[0], input.slice(0, 0, 1)));
  EXPECT_TRUE(at::equal(out[1], std::get<0>(input.slice(0, 1, 4).max(0))));
}

TEST(Executor, TakesNoneAmongAListOfTensors) {
  ProgramBuilder b;
  const ValueId x = b.input("x", {3, 4}), picks = b.input("picks", {2}, DType::Int64),
                y = b.tensor("y", {3, 2});
  b.op("aten.index.Tensor", {{"self", x}, {"indices", Arg::List{Arg(), picks}}}, {y});
  b.output(y);
  const at::Tensor input = at::randn({3, 4}), index = at::tensor({2, 0}, at::kLong);
  EXPECT_TRUE(at::equal(Executor(b.program).run({}, {input, index}).at(0), input.index_select(1, index)));
}

TEST(Executor, HooksSeeAndReplaceArgumentsResultsAndValues) {
  const Executor executor(linear_relu().program);
  const Weights weights = linear_weights();
  const at::Tensor x = at::randn({2, 4});
  std::vector<std::string> seen;
  RunOptions options;
  options.before_op = [&](const graph::Op& op, std::size_t, std::vector<c10::IValue>& stack) {
    seen.push_back(op.target);
    if (op.base_name() == "linear") {
      EXPECT_EQ(stack.size(), 3U);
      stack[2] = c10::IValue();  // no bias
      return false;
    }
    stack = {at::neg(stack[0].toTensor())};
    return true;
  };
  options.after_value = [&](ValueId, at::Tensor& tensor) { tensor = tensor + 1; };
  const at::Tensor out = executor.run(weights, {x}, options).at(0);
  EXPECT_EQ(seen, (std::vector<std::string>{"aten.linear.default", "aten.relu.default"}));
  EXPECT_TRUE(at::allclose(out, -(at::linear(x, weights.at("w")) + 1) + 1));
}

TEST(Executor, TimesEveryOpWhenAsked) {
  const Executor executor(linear_relu().program);
  executor.run(linear_weights(), {at::randn({2, 4})}, {.time_ops = true});
  ASSERT_EQ(executor.timings().size(), 2U);
  EXPECT_EQ(executor.timings()[1].op_index, 1U);
  EXPECT_GE(executor.timings()[0].seconds, 0.0);
}

TEST(Executor, FreesValuesAfterTheirLastUse) {
  ProgramBuilder b;
  const ValueId x = b.input("x", {4});
  ValueId last = x;
  for (int i = 0; i < 4; ++i) {
    const ValueId next = b.tensor("v" + std::to_string(i), {4});
    b.op("aten.add.Tensor", {{"self", last}, {"other", 1.0}}, {next});
    last = next;
  }
  b.output(last);
  std::vector<c10::weak_intrusive_ptr<c10::TensorImpl>> made;
  RunOptions options;
  options.after_value = [&](ValueId, at::Tensor& tensor) {
    int alive = 0;
    for (const auto& weak : made) alive += weak.expired() ? 0 : 1;
    EXPECT_LE(alive, 1);  // only what this op read
    made.emplace_back(tensor.getIntrusivePtr());
  };
  Executor(b.program).run({}, {at::zeros({4})}, options);
}

TEST(Executor, RefusesAnOpThatMayNotRunNamingIt) {
  ProgramBuilder b;
  const ValueId y = b.tensor("y");
  b.op("aten.from_file.default", {{"filename", std::string("/etc/passwd")}}, {y});
  b.output(y);
  try {
    const Executor executor(b.program);
    FAIL() << "aten::from_file was accepted";
  } catch (const UserError& error) {
    EXPECT_EQ(error.parts().code, "E0410");
    EXPECT_EQ(error.parts().subject, "aten.from_file.default");
    EXPECT_NE(error.parts().where.find("op_0"), std::string::npos);
  }
}

std::string code_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const UserError& error) {
    return error.parts().code;
  }
  return "";
}

TEST(Executor, SaysWhichOpFailedAndWhy) {
  const Executor executor(linear_relu().program);
  try {
    executor.run(linear_weights(), {at::randn({2, 5})});
    FAIL() << "a wrong width was accepted";
  } catch (const UserError& error) {
    EXPECT_EQ(error.parts().code, "E0412");
    EXPECT_EQ(error.parts().subject, "aten.linear.default");
    EXPECT_EQ(error.parts().message.find('\n'), std::string::npos);
  }
}

TEST(Executor, ChecksNumberAndRankOfInputs) {
  const Executor executor(linear_relu().program);
  EXPECT_EQ(code_of([&] { executor.run(linear_weights(), {}); }), "E0203");
  EXPECT_EQ(code_of([&] { executor.run(linear_weights(), {at::randn({4})}); }), "E0203");
}

TEST(Executor, RefusesArgumentsTheSchemaLacks) {
  ProgramBuilder b;
  const ValueId x = b.input("x", {4}), y = b.tensor("y");
  b.op("aten.relu.default", {{"self", x}, {"negative_slope", 0.1}}, {y});
  EXPECT_EQ(code_of([&] { Executor executor(b.program); }), "E0412");
}

TEST(Executor, RefusesRecurrentLayersWithoutAllStatesAndWeights) {
  const auto code = [](std::size_t states, std::size_t weights, std::int64_t layers) {
    ProgramBuilder b;
    graph::Arg::List hx, params;
    const ValueId x = b.input("x", {3, 1, 2}), w = b.input("w", {8, 2});
    while (hx.size() < states) hx.emplace_back(b.input("h" + std::to_string(hx.size()), {1, 1, 2}));
    params.assign(weights, graph::Arg(w));
    std::vector<graph::NamedArg> args{
        {"input", x},           {"hx", hx},       {"params", params}, {"has_biases", false},
        {"num_layers", layers}, {"dropout", 0.0}, {"train", false},   {"bidirectional", false},
        {"batch_first", false}};
    b.op("aten.lstm.input", std::move(args), {b.tensor("y"), b.tensor("h_n"), b.tensor("c_n")});
    return code_of([&] { Executor executor(b.program); });
  };
  EXPECT_EQ(code(2, 2, 1), "");
  EXPECT_EQ(code(2, 3, 1), "");  // with a projection
  EXPECT_EQ(code(1, 2, 1), "E0412");
  EXPECT_EQ(code(2, 4, 1), "E0412");
  EXPECT_EQ(code(2, 2, 0), "E0412");
  EXPECT_EQ(code(2, 2, INT64_MAX), "E0412");
}

TEST(Executor, ConvertedWeightsKeepTies) {
  const at::Tensor shared = at::randn({2, 2});
  const Weights weights{{"a", shared}, {"b", shared}, {"index", at::arange(3)}};
  const Weights doubles = convert(weights, at::kDouble);
  EXPECT_EQ(doubles.at("a").scalar_type(), at::kDouble);
  EXPECT_TRUE(doubles.at("a").is_same(doubles.at("b")));
  EXPECT_TRUE(doubles.at("index").is_same(weights.at("index")));
}

}  // namespace
}  // namespace pollard::kernels
