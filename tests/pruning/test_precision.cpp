// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "graph/error.h"
#include "pruning/output_change.h"
#include "pruning/precision.h"
#include "pruning/verify.h"
#include "tests/bad_files/temp_folder.h"
#include "tests/paths.h"

namespace pollard::pruning {
namespace {

models::Model example(const char* name) { return models::load(test::data_folder() + "/cases/" + name); }

/// On the examples of `source`, floats in the model's own type.
std::vector<at::Tensor> outputs(const models::Model& model, const models::Model& source) {
  return kernels::Executor(model.program).run(model.weights, example_inputs(source, 1, 3).front());
}

TEST(Precision, HalfPrecisionIsReadBackAndRuns) {
  const bad_files::TempFolder folder;
  const models::Model model = example("transenc.pt2");
  for (const graph::DType type : {graph::DType::Float16, graph::DType::BFloat16}) {
    const Converted done = to_type(model, type);
    EXPECT_GT(done.output_change, 0);
    EXPECT_LT(done.output_change, type == graph::DType::Float16 ? 5e-3 : 5e-2);
    for (const char* name : {"half.pt2", "half.safetensors"}) {
      const auto path = folder.path() / name;
      models::save(done.model, path, {.force = true});
      const models::Model back = models::load(path);
      EXPECT_EQ(back.weights.at("fc.weight").scalar_type(), kernels::to_scalar_type(type));
      EXPECT_TRUE(at::equal(outputs(back, done.model)[0], outputs(done.model, done.model)[0])) << name;
    }
  }
}

TEST(Precision, ANumberBeyondHalfPrecisionIsRefused) {
  models::Model model = example("mha.pt2");
  model.weights.at("fc.weight") = model.weights.at("fc.weight").clone();
  model.weights.at("fc.weight")[0][0] = 1e5;
  EXPECT_THROW(to_type(model, graph::DType::Float16), UserError);
  EXPECT_NO_THROW(to_type(model, graph::DType::BFloat16));
}

TEST(Precision, EightBitsKeepEveryChannelWithinHalfAStep) {
  const models::Model model = example("mha.pt2");
  const Converted done = to_int8(model);
  ASSERT_FALSE(done.layers.empty());
  for (const Converted::Layer& layer : done.layers) {
    const at::Tensor w = model.weights.at(layer.weight), q = done.model.weights.at(layer.weight),
                     scale = done.model.weights.at(layer.weight + "_scale");
    EXPECT_EQ(q.scalar_type(), at::kChar);
    const at::Tensor off = q.to(at::kFloat).mul(scale).sub(w).abs().div(scale);
    EXPECT_LE(off.max().item<double>(), 0.5 + 1e-4) << layer.weight;
    EXPECT_GT(layer.weight_error, 0);
    EXPECT_LT(layer.weight_error, 0.02);
    EXPECT_LT(layer.output_error, 0.05);
  }
  EXPECT_NE(done.model.metadata.at("pollard.precision").find("output_change"), std::string::npos);
}

TEST(Precision, EightBitFilesAreReadBackAndCompute) {
  const bad_files::TempFolder folder;
  for (const char* name : {"hf_gpt2.pt2", "syn_tied_weight.pt2", "transenc.pt2"}) {
    const models::Model model = example(name);
    const Converted done = to_int8(model);
    EXPECT_LT(done.output_change, 0.1) << name;
    EXPECT_NEAR(relative_change(outputs(model, model), outputs(done.model, model)), done.output_change, 0.05)
        << name;
    for (const char* file : {"small.pt2", "small.safetensors"}) {
      models::save(done.model, folder.path() / file, {.force = true});
      const models::Model back = models::load(folder.path() / file);
      EXPECT_TRUE(at::equal(outputs(back, done.model)[0], outputs(done.model, done.model)[0]))
          << name << " " << file;
    }
  }
}

TEST(Precision, ANetworkWithoutLinearLayersIsRefused) {
  try {
    to_int8(example("syn_two_out.pt2"));
    FAIL() << "was quantised";
  } catch (const UserError& error) {
    EXPECT_EQ(error.parts().code, "E0472");
  }
}

}  // namespace
}  // namespace pollard::pruning
