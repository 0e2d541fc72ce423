// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <set>

#include "graph/error.h"
#include "models/capture.h"
#include "models/registry.h"

namespace pollard::models {
namespace {

using Inputs = std::vector<at::Tensor>;

TEST(Families, HavePublishedParameterCounts) {
  for (const Family& family : families())
    for (const Published& size : family.published)
      EXPECT_EQ(family.build(size.spec_json)->parameter_count(), size.parameters) << size.name;
}

TEST(Families, HaveDistinctNamesAndOneLineDescriptions) {
  std::set<std::string> names;
  for (const Family& family : families()) {
    EXPECT_TRUE(names.insert(family.name).second) << family.name;
    EXPECT_EQ(find_family(family.name), &family);
    EXPECT_FALSE(family.description.empty() || family.description.find('\n') != std::string::npos)
        << family.name;
  }
  EXPECT_EQ(find_family("no such family"), nullptr);
}

/// All specs a family lists, with a name for messages.
std::vector<std::pair<std::string, std::string>> specs_of(const Family& family) {
  std::vector<std::pair<std::string, std::string>> out;
  for (const Published& size : family.published) out.emplace_back(size.name, size.spec_json);
  for (const std::string& spec : family.small_specs) out.emplace_back(family.name + " " + spec, spec);
  return out;
}

Shapes shapes_of(Network& network) {
  Shapes::Map map;
  for (const auto& entry : network.entries())
    if (entry.is_parameter() || entry.slot->persistent) map.emplace(entry.key, entry.tensor().sizes().vec());
  return Shapes(std::move(map), [](const auto&, const auto&) { return true; });
}

TEST(Families, ArePickedByTheirOwnKeys) {
  for (const Family& family : families())
    for (const auto& [name, spec] : specs_of(family)) {
      const auto network = family.build(spec);
      const Match best = recognise(shapes_of(*network), family.complete(spec)).front();
      EXPECT_EQ(best.family, &family) << name;
      EXPECT_TRUE(best.complete()) << name;
      EXPECT_EQ(best.score(), 1) << name;
      EXPECT_EQ(best.spec_json, family.complete(spec)) << name;
    }
}

TEST(Families, SpecsAreCanonicalAndComplete) {
  for (const Family& family : families()) {
    const std::string canonical = family.complete("{}");
    EXPECT_EQ(family.complete(canonical), canonical) << family.name;
  }
}

TEST(Families, RefuseSpecsOutOfRangeBeforeBuilding) {
  const auto refused = [](const char* family, const char* spec) {
    try {
      find_family(family)->complete(spec);
    } catch (const UserError& error) {
      return error.parts().code == "E0414" && error.exit() == Exit::Unsupported;
    }
    return false;
  };
  EXPECT_TRUE(refused("bert", R"({"num_hidden_layers": 1000000000})"));
  EXPECT_TRUE(refused("bert", R"({"num_attention_heads": 0})"));
  EXPECT_TRUE(refused("bert", R"({"hidden_size": 100, "num_attention_heads": 3})"));
  EXPECT_TRUE(refused("bert", R"({"hidden_size": "wide"})"));
  EXPECT_TRUE(refused("bert", R"({"hidden_size": 100.5})"));
  EXPECT_FALSE(refused("bert", R"({"hidden_size": 96.0})"));
  EXPECT_TRUE(refused("bert", R"({"hidden_act": "nonsense"})"));
  EXPECT_TRUE(refused("bert", "[1, 2"));
  EXPECT_TRUE(refused("resnet", R"({"layers": [3, 4, 6]})"));
  EXPECT_TRUE(refused("resnet", R"({"layers": [3, 4, 6, 18446744073709551615]})"));
  EXPECT_TRUE(refused("cifar_resnet", R"({"depth": 21})"));
}

TEST(Families, InitialiseFreshParameters) {
  for (const Family& family : families()) {
    const auto network = family.build(family.small_specs.front());
    network->initialise(at::make_generator<at::CPUGeneratorImpl>(1));
    for (const auto& entry : network->entries()) {
      EXPECT_TRUE(entry.tensor().device().is_cpu()) << entry.key;
      if (!entry.is_parameter() || entry.tensor().dim() == 1) continue;
      const Init& init = entry.slot->init;
      const bool zeros = init.kind == Init::Kind::Constant && init.a == 0;
      EXPECT_EQ(entry.tensor().abs().max().item<double>() > 0, !zeros) << entry.key;
    }
  }
}

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

void expect_same_outputs(Network& network, const Captured& captured, const Inputs& inputs,
                         const std::string& name) {
  const at::NoGradGuard no_grad;
  const Result expected = network.forward(inputs);
  const auto got = kernels::Executor(captured.program).run(captured.weights, inputs);
  ASSERT_EQ(got.size(), expected.items().size()) << name;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const at::Tensor& want = expected.items()[i].second;
    EXPECT_TRUE(at::allclose(got[i], want, 1e-5, 1e-6 * want.abs().max().item<double>()))
        << name << " output " << i;
  }
}

TEST(Families, ProgramsComputeWhatTheNetworksCompute) {
  for (const Family& family : families()) {
    ASSERT_FALSE(family.small_specs.empty()) << family.name;
    for (const std::string& spec : family.small_specs) {
      const auto network = family.build(spec);
      network->initialise(at::make_generator<at::CPUGeneratorImpl>(1));
      const Captured captured = capture(*network);
      EXPECT_FALSE(captured.program.symbols.empty()) << family.name;
      expect_same_outputs(*network, captured, network->example_inputs(), family.name + spec);
      expect_same_outputs(*network, captured, longer_inputs(*network), family.name + spec + " longer");
    }
  }
}

TEST(Families, TrainWithGradients) {
  for (const Family& family : families())
    for (const std::string& spec : family.small_specs) {
      const auto network = family.build(spec);
      network->initialise(at::make_generator<at::CPUGeneratorImpl>(1));
      network->train();
      for (const auto& entry : network->entries())
        if (entry.is_parameter() && entry.tensor().is_floating_point()) entry.tensor().requires_grad_(true);
      at::Tensor loss = at::zeros({});
      const Result result = network->forward(network->example_inputs());
      for (const auto& [name, output] : result.items())
        if (output.is_floating_point()) loss = loss + output.square().mean();
      loss.backward();
      bool any = false;
      for (const auto& entry : network->entries())
        any |= entry.is_parameter() && entry.tensor().grad().defined();
      EXPECT_TRUE(any) << family.name << spec;
      EXPECT_TRUE(loss.isfinite().item<bool>()) << family.name << spec;
    }
}

}  // namespace
}  // namespace pollard::models
