// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "graph/error.h"
#include "models/io/pt2_graph_reader.h"
#include "models/io/pt2_reader.h"
#include "tests/models/support/exported_cases.h"

namespace pollard {
namespace {

using graph::Input;
using graph::Value;
using test::cases_folder;
using test::export_forms_folder;

models::Model form(const std::string& name) {
  return test::read_case(export_forms_folder() / (name + ".pt2"));
}
models::Model construct(const std::string& name) { return test::read_case(cases_folder() / (name + ".pt2")); }

const Value& value_named(const graph::Program& program, const std::string& name) {
  for (const Value& value : program.values)
    if (value.name == name) return value;
  throw std::runtime_error("no value " + name);
}

const graph::Op& op_with(const graph::Program& program, const std::string& target) {
  for (const graph::Op& op : program.ops)
    if (op.target == target) return op;
  throw std::runtime_error("no op " + target);
}

TEST(Pt2Reader, ComputesWhatPyTorchComputesForEveryConstruct) {
  const auto names = test::case_names(cases_folder());
  EXPECT_EQ(names.size(), 43U);
  for (const std::string& name : names) {
    const models::Model model = construct(name);
    const auto outputs = kernels::Executor(model.program).run(model.weights, model.sample_inputs);
    EXPECT_LE(test::distance_from_expected(cases_folder(), name, outputs), 1e-5) << name;
  }
}

TEST(Pt2Reader, ComputesWhatPyTorchComputesForEveryFormOfTheFile) {
  for (const std::string& name : test::case_names(export_forms_folder())) {
    if (name.starts_with("refused_")) continue;
    const models::Model model = form(name);
    if (model.sample_inputs.empty()) ADD_FAILURE() << name << " has no sample inputs";
    kernels::RunOptions options;
    options.train = name == "training_mode";
    const auto outputs = kernels::Executor(model.program).run(model.weights, model.sample_inputs, options);
    EXPECT_LE(test::distance_from_expected(export_forms_folder(), name, outputs), 1e-5) << name;
  }
}

TEST(Pt2Reader, KeepsTiedWeightsOneTensor) {
  const models::Model model = construct("syn_tied_weight");
  const Input* tied = model.program.find_input("out.weight");
  ASSERT_NE(tied, nullptr);
  EXPECT_EQ(tied->tied_to, "emb.weight");
  EXPECT_TRUE(model.weights.at("out.weight").is_same(model.weights.at("emb.weight")));
}

TEST(Pt2Reader, GivesEveryViewOfASharedStorageItsOwnNumbers) {
  const models::Model model = form("shared_storage");
  const at::Tensor& table = model.weights.at("a");
  EXPECT_EQ(model.program.find_input("tied.weight")->tied_to, "a");
  EXPECT_TRUE(at::equal(model.weights.at("transposed"), table.t()));
  EXPECT_TRUE(at::equal(model.weights.at("rows"), table.slice(0, 2, 5)));
  EXPECT_FALSE(model.weights.at("rows").is_alias_of(table));
  EXPECT_EQ(model.weights.at("rows").storage().nbytes(), 3U * 4U * 4U);
}

TEST(Pt2Reader, ReadsSymbolicSizesTheirRangesAndExamples) {
  const graph::Program program = form("dynamic_batch_and_length").program;
  const Value& x = program[program.user_inputs().at(0)->value];
  EXPECT_TRUE(x.shape[0].symbolic());
  EXPECT_EQ(x.sizes(), (std::vector<std::int64_t>{2, 7, 4}));
  ASSERT_EQ(program.symbols.size(), 2U);
  const auto batch = std::find_if(program.symbols.begin(), program.symbols.end(),
                                  [&](const auto& symbol) { return symbol.name == x.shape[0].expr; });
  ASSERT_NE(batch, program.symbols.end());
  EXPECT_EQ(batch->min, 1);
  EXPECT_EQ(batch->max, 64);
  const Value& product = value_named(program, program[op_with(program, "_operator.mul").outputs[0]].name);
  EXPECT_EQ(product.kind, Value::Kind::Int);
  EXPECT_EQ(product.scalar.hint, 14);
  EXPECT_EQ(product.scalar.expr.find("Symbol"), std::string::npos) << product.scalar.expr;
}

TEST(Pt2Reader, RunsAtSizesOtherThanTheExample) {
  const models::Model model = form("dynamic_batch_and_length");
  const kernels::Executor executor(model.program);
  const auto out = executor.run(model.weights, {at::randn({5, 11, 4})});
  EXPECT_EQ(out.at(0).sizes().vec(), (std::vector<std::int64_t>{5, 11, 3}));
}

TEST(Pt2Reader, InlinesRegionsThatOnlySetAMode) {
  const graph::Program program = form("no_grad_region").program;
  EXPECT_EQ(op_with(program, "aten.sigmoid.default").outputs.size(), 1U);
  for (const graph::Op& op : program.ops) EXPECT_EQ(op.target.find("higher_order"), std::string::npos);
}

TEST(Pt2Reader, TurnsAutocastIntoTheCastsItStandsFor) {
  const graph::Program program = form("autocast_region").program;
  const graph::Op& linear = op_with(program, "aten.linear.default");
  EXPECT_EQ(program[*linear.tensor("weight")].dtype, graph::DType::BFloat16);
  EXPECT_EQ(program[linear.outputs[0]].dtype, graph::DType::BFloat16);
  const auto outside = std::find_if(program.ops.rbegin(), program.ops.rend(),
                                    [](const graph::Op& op) { return op.target == "aten.linear.default"; });
  EXPECT_EQ(program[*outside->tensor("weight")].dtype, graph::DType::Float32);
}

TEST(Pt2Reader, CarriesNestedInputsAndConstantOnes) {
  const graph::Program program = form("nested_inputs_and_outputs").program;
  const auto inputs = program.user_inputs();
  const auto constants =
      std::count_if(inputs.begin(), inputs.end(), [](const Input* i) { return i->constant.has_value(); });
  EXPECT_EQ(constants, 1);  // the flag
  EXPECT_NE(program.call.in_spec.find("builtins.dict"), std::string::npos);
  EXPECT_NE(program.call.out_spec.find("rows"), std::string::npos);
}

TEST(Pt2Reader, KnowsBuffersOutsideTheStateDictAndLiftedConstants) {
  const graph::Program program = form("counters_and_in_place_views").program;
  EXPECT_TRUE(program.find_input("count")->persistent);
  EXPECT_FALSE(program.find_input("hidden")->persistent);
  EXPECT_EQ(program.find_input("constant")->kind, Input::Kind::Constant);
}

TEST(Pt2Reader, SaysWhichModuleAnOpCameFrom) {
  EXPECT_EQ(op_with(construct("syn_glu").program, "aten.glu.default").metadata.count("nn_module_stack"), 1U);
  EXPECT_EQ(models::io::pt2::module_path("L__self__,,a.B;L['x'].l,l.0,torch.nn.Linear"), "l.0");
  EXPECT_EQ(models::io::pt2::module_path("L__self__l@1,l,torch.nn.modules.linear.Linear"), "l");
  EXPECT_EQ(models::io::pt2::module_path("nonsense"), "");
}

TEST(Pt2Reader, RefusesControlFlowNamingOpAndNode) {
  try {
    form("refused_cond");
    FAIL() << "torch.cond was accepted";
  } catch (const UserError& error) {
    EXPECT_EQ(error.parts().code, "E0411");
    EXPECT_EQ(error.exit(), Exit::Unsupported);
    EXPECT_NE(error.parts().message.find("cond"), std::string::npos);
    EXPECT_NE(error.parts().where.find("node \"cond\""), std::string::npos);
  }
}

TEST(Pt2Reader, KeepsTheMemoryLayoutOfWeights) {
  const models::Model model = form("channels_last_weights");
  EXPECT_TRUE(model.weights.at("0.weight").is_contiguous(at::MemoryFormat::ChannelsLast));
}

}  // namespace
}  // namespace pollard
