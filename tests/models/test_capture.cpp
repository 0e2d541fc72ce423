// SPDX-License-Identifier: Apache-2.0
#include "models/capture.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <functional>

#include "graph/error.h"
#include "models/layers/linear.h"
#include "models/layers/norm.h"
#include "models/layers/recurrent.h"
#include "models/meta_kernels.h"
#include "models/registry.h"

namespace pollard::models {
namespace {

using Inputs = std::vector<at::Tensor>;

/// A network whose forward is a function.
class Lambda : public Network {
 public:
  using Forward = std::function<Result(Lambda&, const Inputs&)>;
  Lambda(std::vector<Example> examples, Forward forward)
      : examples_(std::move(examples)), forward_(std::move(forward)) {
    parameter("weight", weight, {4, 4}, Init::normal(1));
    buffer("table", table, at::arange(4, at::kFloat));
    buffer("hidden", hidden, at::ones({4}), false);
    children({{"fc", fc}});
    tie("tied", fc.weight);
    initialise(at::Generator());
  }
  Result forward(const Inputs& inputs) override { return forward_(*this, inputs); }
  std::vector<Example> examples() const override { return examples_; }
  at::Tensor weight, table, hidden;
  Linear fc{4, 4};

 private:
  std::vector<Example> examples_;
  Forward forward_;
};

std::vector<Example> rows_of_four() { return {{"x", {batch(), sequence(), 4}}}; }

Captured capture_of(Lambda::Forward forward, std::vector<Example> examples = rows_of_four()) {
  Lambda network(std::move(examples), std::move(forward));
  return capture(network);
}

/// Lines of the printed program that hold `text`.
int lines_with(const graph::Program& program, const std::string& text) {
  const std::string printed = graph::to_string(program);
  int count = 0;
  for (std::size_t at = printed.find(text); at != std::string::npos; at = printed.find(text, at + 1)) ++count;
  return count;
}

std::string refusal(Lambda::Forward forward) {
  try {
    capture_of(std::move(forward));
  } catch (const UserError& error) {
    EXPECT_EQ(error.parts().code, "E0413");
    return error.parts().subject + ": " + error.parts().message;
  }
  return "not refused";
}

/// The program computes what the network computes, also at sizes it was never traced at.
void expect_same_outputs(Network& network, const Captured& captured, const Inputs& inputs) {
  const at::NoGradGuard no_grad;
  const Result expected = network.forward(inputs);
  const auto got = kernels::Executor(captured.program).run(captured.weights, inputs);
  ASSERT_EQ(got.size(), expected.items().size());
  for (std::size_t i = 0; i < got.size(); ++i)
    EXPECT_TRUE(at::allclose(got[i], expected.items()[i].second, 1e-6, 1e-7)) << "output " << i;
}

void expect_same_outputs(Lambda::Forward forward, std::vector<Example> examples = rows_of_four()) {
  Lambda network(std::move(examples), std::move(forward));
  const Captured captured = capture(network);
  for (const auto& [b, t] : {std::pair{2, 16}, {1, 1}, {29, 31}}) {
    Inputs inputs;
    for (const Example& example : network.examples()) {
      std::vector<std::int64_t> shape;
      for (const Dim& dim : example.shape)
        shape.push_back(dim.symbol == "batch" ? b : dim.symbol.empty() ? dim.size : t);
      inputs.push_back(at::randn(shape));
    }
    expect_same_outputs(network, captured, inputs);
  }
}

/// What pollard computes on meta tensors itself, as CPU tensors of that shape would come out, and at a size no memory holds.
TEST(MetaKernels, OpsOnLargeMapsHaveTheShapesAndTypesOfRealOnesAndNoMemory) {
  const MetaKernels meta_kernels;
  using Op = std::function<at::Tensor(const at::Tensor& map)>;
  const std::pair<const char*, Op> ops[] = {
      {"relu", [](const at::Tensor& x) { return at::relu(x); }},
      {"hardtanh", [](const at::Tensor& x) { return at::hardtanh(x, 0, 6); }},
      {"roll",
       [](const at::Tensor& x) {
         return at::roll(x, {1, 1}, {2, 3});
       }},
      {"flip", [](const at::Tensor& x) { return at::flip(x, {3}); }},
      {"where",
       [](const at::Tensor& x) {
         return at::where(x[0] > 0, x, at::zeros({1}, x.options().dtype(at::kDouble)));
       }},
      {"where.out",
       [](const at::Tensor& x) {
         at::Tensor out = at::empty({0}, x.options());
         return at::where_out(out, x > 0, x, x);
       }},
      {"grid_sampler", [](const at::Tensor& x) {
         return at::grid_sampler_2d(x, x.permute({0, 2, 3, 1}).slice(3, 0, 2), 0, 0, false);
       }}};
  for (const auto& [name, op] : ops) {
    const at::Tensor real = op(at::zeros({2, 3, 5, 4})), shape = op(at::empty({2, 3, 5, 4}, at::kMeta));
    EXPECT_TRUE(shape.is_meta()) << name;
    EXPECT_EQ(shape.sizes(), real.sizes()) << name;
    EXPECT_EQ(shape.scalar_type(), real.scalar_type()) << name;
    EXPECT_EQ(op(at::empty({64, 512, 1 << 15, 1 << 15}, at::kMeta)).size(3), 1 << 15) << name;  // 128 TiB
  }
}

TEST(Capture, RecordsOutermostCallsWithSchemaNames) {
  const auto captured =
      capture_of([](Lambda& n, const Inputs& in) -> Result { return at::relu(n.fc(in[0])); });
  EXPECT_EQ(captured.program.ops.size(), 2u);
  EXPECT_EQ(
      lines_with(
          captured.program,
          "%linear:f32[s0=2,s1=16,4] = aten.linear.default(input=%x, weight=%p_fc_weight, bias=%p_fc_bias)"),
      1);
  EXPECT_EQ(captured.program.ops[0].module, "fc");
}

TEST(Capture, ListsParametersBuffersAndInputsInCallOrder) {
  const auto captured =
      capture_of([](Lambda& n, const Inputs& in) -> Result { return in[0] + n.table + n.hidden; });
  std::vector<std::string> seen;
  for (const graph::Input& input : captured.program.inputs)
    seen.push_back(input.source + (input.persistent ? "" : " (not persistent)") +
                   (input.tied_to.empty() ? "" : " = " + input.tied_to));
  EXPECT_EQ(seen, (std::vector<std::string>{"weight", "fc.weight", "fc.bias", "tied = fc.weight", "table",
                                            "hidden (not persistent)", ""}));
  EXPECT_EQ(captured.weights.size(), 6u);
}

TEST(Capture, SizesThatFollowTheInputBecomeSymbolic) {
  const auto forward = [](Lambda&, const Inputs& in) -> Result {
    const std::int64_t b = in[0].size(0), t = in[0].size(1);
    const at::Tensor ones = at::ones({2 * t + 1, b * t, 4}, in[0].options());
    return Result::tuple({in[0].view({b * t, 2, 2}), ones, in[0].slice(1, 0, t - 1)});
  };
  const auto captured = capture_of(forward);
  EXPECT_EQ(lines_with(captured.program, "sym_size.int"), 2);
  EXPECT_EQ(lines_with(captured.program, "%ones:f32[2*s1 + 1=33,s0*s1=32,4]"), 1);
  EXPECT_EQ(lines_with(captured.program, "_operator.mul(a=%sym_size_int, b=%sym_size_int_1)"), 1);
  EXPECT_EQ(lines_with(captured.program, "_operator.sub(a=%sym_size_int_1, b=1)"), 1);
  ASSERT_EQ(captured.program.symbols.size(), 2u);
  EXPECT_EQ(captured.program.symbols[0].min, 1);
  expect_same_outputs(forward);
}

TEST(Capture, NumbersThatStayArePlain) {
  const auto captured = capture_of([](Lambda&, const Inputs& in) -> Result {
    return in[0].reshape({-1, 4}) * 0.5;
  });
  EXPECT_EQ(lines_with(captured.program, "aten.reshape.default(self=%x, shape=[-1, 4])"), 1);
  EXPECT_EQ(lines_with(captured.program, "other=0.5"), 1);
}

TEST(Capture, SquaresOfSizesAreFound) {
  expect_same_outputs([](Lambda&, const Inputs& in) -> Result {
    const std::int64_t t = in[0].size(1);
    return at::matmul(in[0], in[0].transpose(1, 2)).reshape({in[0].size(0), t * t});
  });
}

TEST(Capture, KeepsInPlaceOpsAndViews) {
  const auto forward = [](Lambda& n, const Inputs& in) -> Result {
    at::Tensor y = n.fc(in[0]);
    const at::Tensor half = y.slice(2, 0, 2);
    half.mul_(3.0);
    y.relu_().add_(1);
    return Result::tuple({y, half});
  };
  expect_same_outputs(forward);
}

TEST(Capture, CarriesListResultsAndNamesOutputs) {
  const auto forward = [](Lambda&, const Inputs& in) -> Result {
    const auto parts = in[0].chunk(2, -1);
    return Result::dict({{"late", parts[1] * parts[0]}, {"early", std::get<0>(in[0].max(1))}});
  };
  expect_same_outputs(forward);
  const auto captured = capture_of(forward);
  EXPECT_EQ(
      captured.program.call.out_spec,
      R"([1,{"type":"builtins.dict","context":"[\"late\",\"early\"]","children_spec":[)"
      R"({"type":null,"context":null,"children_spec":[]},{"type":null,"context":null,"children_spec":[]}]}])");
  EXPECT_EQ(captured.program.call.forward_arg_names, std::vector<std::string>{"x"});
}

TEST(Capture, TensorsMadeOfNumbersBecomeConstants) {
  const auto forward = [](Lambda&, const Inputs& in) -> Result {
    return in[0] * at::tensor({1.f, 2.f, 3.f, 4.f}, in[0].options()) + at::scalar_tensor(1.0);
  };
  expect_same_outputs(forward);
  EXPECT_EQ(lines_with(capture_of(forward).program, "constant"), 1);
}

TEST(Capture, DropsOpsNobodyReads) {
  const auto captured = capture_of([](Lambda& n, const Inputs& in) -> Result {
    n.fc(in[0]).exp();
    return in[0] + 1;
  });
  EXPECT_EQ(captured.program.ops.size(), 1u);
}

TEST(Capture, ResultsThatAreTheirArgumentKeepTheirValue) {
  expect_same_outputs([](Lambda& n, const Inputs& in) -> Result {
    return at::dropout(n.fc(in[0].to(at::kFloat)), 0.5, false) + in[0];
  });
}

TEST(Capture, RefusesACourseThatDependsOnData) {
  EXPECT_NE(refusal([](Lambda&, const Inputs& in) -> Result {
              return in[0].sum().item<float>() > 0 ? in[0] : -in[0];
            }),
            "not refused");
}

TEST(Capture, RefusesACourseThatDependsOnSizes) {
  const auto branch = [](Lambda&, const Inputs& in) -> Result {
    return in[0].size(1) > 12 ? at::relu(in[0]) : at::gelu(in[0]);
  };
  EXPECT_NE(refusal(branch).find("where another size runs"), std::string::npos);
  const auto loop = [](Lambda&, const Inputs& in) -> Result {
    at::Tensor sum = in[0].select(1, 0);
    for (std::int64_t t = 1; t < in[0].size(1); ++t) sum = sum + in[0].select(1, t);
    return sum;
  };
  EXPECT_NE(refusal(loop), "not refused");
}

TEST(Capture, RefusesSizesThatFollowNoPolynomial) {
  const auto half = [](Lambda&, const Inputs& in) -> Result { return in[0].slice(1, 0, in[0].size(1) / 2); };
  EXPECT_NE(refusal(half).find("no polynomial"), std::string::npos);
}

TEST(Capture, RefusesRealNumbersMadeOfSizes) {
  const auto scaled = [](Lambda&, const Inputs& in) -> Result {
    return in[0] * (1.0 / static_cast<double>(in[0].size(1)));
  };
  EXPECT_NE(refusal(scaled).find("other"), std::string::npos);
}

TEST(Capture, SymbolsWithoutRoomStayFixed) {
  const auto captured = capture_of([](Lambda&, const Inputs& in) -> Result { return in[0] + 1; },
                                   {{"x", {batch(), Dim(3, "sequence", 3, 4), 4}}});
  EXPECT_EQ(captured.program.symbols.size(), 1u);
  EXPECT_EQ(lines_with(captured.program, "%x:f32[s0=2,3,4]"), 1);
}

TEST(Capture, SizesVaryAboveALeastSizeThatIsLarge) {
  Lambda network({{"x", {batch(), Dim(32, "points", 20, std::nullopt), 4}}},
                 [](Lambda&, const Inputs& in) -> Result { return std::get<0>(at::topk(in[0], 20, 1)); });
  const auto captured = capture(network);
  ASSERT_EQ(captured.program.symbols.size(), 2u);
  EXPECT_EQ(captured.program.symbols[1].min, 20);
  expect_same_outputs(network, captured, {at::randn({3, 45, 4})});
}

TEST(Capture, LeavesTheNetworkAsItWas) {
  Lambda network(rows_of_four(), [](Lambda& n, const Inputs& in) -> Result { return n.fc(in[0]); });
  const at::Tensor before = network.fc.weight;
  capture(network);
  EXPECT_TRUE(network.fc.weight.is_same(before));
}

TEST(Capture, TrainModeIsRecordedAsSuch) {
  Lambda network(rows_of_four(),
                 [](Lambda& n, const Inputs& in) -> Result { return at::dropout(in[0], 0.5, n.training()); });
  EXPECT_EQ(lines_with(capture(network).program, "train=False"), 1);
  network.train();
  EXPECT_EQ(lines_with(capture(network).program, "train=True"), 1);
}

}  // namespace
}  // namespace pollard::models
