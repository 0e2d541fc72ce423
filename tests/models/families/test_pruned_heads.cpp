// SPDX-License-Identifier: Apache-2.0
// Checkpoints whose heads transformers' prune_heads() took: small tensors beside the original configuration with its
// pruned_heads. The golden holds what that library computes from them.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "models/golden_fill.h"
#include "models/registry.h"
#include "tests/paths.h"

namespace pollard::models {
namespace {

using Json = nlohmann::json;
using Shape = std::vector<std::int64_t>;

Json golden(const std::string& name) {
  return Json::parse(std::ifstream(test::data_folder() + "/golden/" + name + ".json"));
}

/// The layer of "transformer.h.2.attn..." and "encoder.layer.2...".
std::string layer_of(const std::string& key) {
  const std::size_t begin = key.find_first_of("0123456789");
  return begin == std::string::npos ? "" : key.substr(begin, key.find('.', begin) - begin);
}

/// What is left of a dimension of one or three (packed q, k, v) runs of heads.
at::Tensor without_heads(const at::Tensor& dense, std::int64_t dim, const std::set<std::int64_t>& gone,
                         std::int64_t heads, std::int64_t width) {
  std::vector<std::int64_t> kept;
  for (std::int64_t i = 0; i < dense.size(dim); ++i)
    if (!gone.contains(i % (heads * width) / width)) kept.push_back(i);
  return dense.index_select(dim, at::tensor(kept));
}

/// The dense tensors, cut as the golden says wherever it lists a smaller shape.
kernels::Weights pruned_checkpoint(const Json& g, std::int64_t heads, std::int64_t width) {
  kernels::Weights out;
  for (const auto& [key, shape] : g.at("dense_keys").items()) {
    at::Tensor tensor = golden_parameter(key, shape.get<Shape>());
    const Shape small = g.at("checkpoint_keys").at(key).get<Shape>();
    for (std::size_t d = 0; d < small.size(); ++d)
      if (tensor.size(static_cast<std::int64_t>(d)) != small[d])
        tensor = without_heads(
            tensor, static_cast<std::int64_t>(d),
            g.at("config_json_pruned_heads").at(layer_of(key)).get<std::set<std::int64_t>>(), heads, width);
    EXPECT_EQ(tensor.sizes().vec(), small) << key;
    out.emplace(key, tensor);
  }
  return out;
}

void expect_outputs(const Model& model, const Json& g, const Json& reference) {
  const Json& input = g.at("inputs").at(0);
  std::vector<at::Tensor> inputs{golden_ids("input:0", input.at("shape").get<Shape>(), input.at("vocab"))};
  if (const Family* family = find_family(model.family); family->golden_inputs)
    inputs = family->golden_inputs(std::move(inputs), g.dump());
  const at::Tensor got =
      kernels::Executor(model.program).run(model.weights, inputs).front().contiguous().flatten();
  ASSERT_EQ(got.numel(), c10::multiply_integers(reference.at("shape").get<Shape>()));
  const auto index = reference.at("index").get<Shape>();
  const auto expected = reference.at("value").get<std::vector<double>>();
  for (std::size_t i = 0; i < index.size(); ++i)
    EXPECT_NEAR(got[index[i]].item<double>(), expected[i], 2e-5) << index[i];
}

class PrunedHeads : public testing::TestWithParam<const char*> {};

TEST_P(PrunedHeads, LoadByTheOriginalConfigurationAndComputeTheSame) {
  const Json g = golden(GetParam());
  Json config = g.at("config");
  const bool gpt2 = config.contains("n_head");
  const std::int64_t heads = config.at(gpt2 ? "n_head" : "num_attention_heads");
  const std::int64_t width = config.at(gpt2 ? "n_embd" : "hidden_size").get<std::int64_t>() / heads;
  kernels::Weights dense;
  for (const auto& [key, shape] : g.at("dense_keys").items())
    dense.emplace(key, golden_parameter(key, shape.get<Shape>()));
  expect_outputs(load_family(dense, {}, config.dump()), g, g.at("outputs_dense").at(0));

  config["pruned_heads"] = g.at("config_json_pruned_heads");
  const Model pruned = load_family(pruned_checkpoint(g, heads, width), {}, config.dump());
  EXPECT_EQ(pruned.family, gpt2 ? "gpt2" : "bert");
  expect_outputs(pruned, g, g.at("outputs").at(0));
}

INSTANTIATE_TEST_SUITE_P(Of, PrunedHeads, testing::Values("prune_gpt2_tiny", "prune_bert_tiny"),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace pollard::models
