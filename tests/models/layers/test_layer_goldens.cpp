// SPDX-License-Identifier: Apache-2.0
// Layers whose references were recorded by themselves: each is wrapped in a small network.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "models/layers/attention.h"
#include "models/layers/monarch.h"
#include "models/layers/optimal_transport.h"
#include "models/layers/token_merging.h"
#include "models/parity.h"
#include "models/registry.h"
#include "tests/paths.h"

namespace pollard::models {
namespace {

struct MatchingSpec {
  std::int64_t r = 1;
  bool class_token = false, distill_token = false;
  void fields(Fields& f) {
    f.integer("r", r);
    f.flag("class_token", class_token);
    f.flag("distill_token", distill_token);
  }
};

/// Inputs: the metric and the tokens; results: merged, sizes, unmerged again. The reference's merge writes a distilled
/// network's tokens in an order that its unmerge does not read, so there its unmerge mixes tokens up; it is compared by
/// reading the order it reads. UnmergingPutsEveryTokenBack says what this project's unmerge does.
class Matching : public Network {
 public:
  explicit Matching(MatchingSpec spec) : spec_(spec) { parameter("z", dummy_, {1}); }
  Result forward(const std::vector<at::Tensor>& inputs) override {
    const at::Tensor& x = inputs.at(1);
    const auto matching = match_tokens(inputs.at(0), spec_.r, {spec_.class_token, spec_.distill_token});
    const at::Tensor sizes = matching->merge(at::ones({x.size(0), x.size(1), 1}, x.options()));
    const at::Tensor merged = matching->merge(x).div(sizes);
    TokenMatching as_reference = *matching;
    as_reference.distill_token = false;
    return Result::tuple({merged, sizes, as_reference.unmerge(merged)});
  }
  std::vector<Example> examples() const override {
    return {{"metric", {batch(), 16, 8}}, {"x", {batch(), 16, 8}}};
  }

 private:
  MatchingSpec spec_;
  at::Tensor dummy_;
};

struct EmbeddingSpec {
  std::int64_t in_dim = 1, out_size = 1, heads = 1, max_iter = 10;
  double eps = 0.1, position_sigma = 0.1;
  std::string position_encoding;
  void fields(Fields& f) {
    f.integer("in_dim", in_dim);
    f.integer("out_size", out_size);
    f.integer("heads", heads);
    f.integer("max_iter", max_iter);
    f.real("eps", eps);
    f.real("position_sigma", position_sigma);
    f.text("position_encoding", position_encoding);
  }
};

/// Features on a line [B, n, C] or a map [B, h, w, C], gathered by the references.
class TransportEmbedding : public Network {
 public:
  explicit TransportEmbedding(EmbeddingSpec spec) : spec_(std::move(spec)) {
    parameter("weight", weight_, {spec_.heads, spec_.out_size, spec_.in_dim});
  }
  Result forward(const std::vector<at::Tensor>& inputs) override {
    const at::Tensor& map = inputs.at(0);
    const at::Tensor x = map.flatten(1, -2);
    const bool on_map = map.dim() == 4;
    const auto side = static_cast<std::int64_t>(std::sqrt(static_cast<double>(spec_.out_size)));
    at::Tensor near;
    if (!spec_.position_encoding.empty())
      near = on_map ? nearness(places_on_map(map.size(1), map.size(2), x.options()),
                               places_on_map(side, side, x.options()), spec_.position_sigma)
                    : nearness(places_on_line(x.size(1), x.options()),
                               places_on_line(spec_.out_size, x.options()), spec_.position_sigma);
    const at::Tensor similarity = at::matmul(x.unsqueeze(1), weight_.transpose(1, 2));
    const at::Tensor plan = transport_plan(similarity, near, spec_.eps, spec_.max_iter);
    const at::Tensor gathered = merge_heads(at::matmul(plan.transpose(2, 3), x.unsqueeze(1)));
    return on_map ? gathered.view({x.size(0), side, side, gathered.size(2)}) : gathered;
  }
  std::vector<Example> examples() const override { return {{"x", {batch(), 16, spec_.in_dim}}}; }

 private:
  EmbeddingSpec spec_;
  at::Tensor weight_;
};

struct MonarchSpec {
  std::int64_t k = 1, q = 1, p = 1, l = 1, s = 1, r = 1;
  void fields(Fields& f) {
    f.integer("k", k);
    f.integer("q", q);
    f.integer("p", p);
    f.integer("l", l);
    f.integer("s", s);
    f.integer("r", r);
  }
};

/// The product, and the same as one dense matrix.
class MonarchProduct : public Network {
 public:
  explicit MonarchProduct(MonarchSpec spec) : spec_(spec) {
    parameter("w1", first_, {spec.k, spec.q, spec.p});
    parameter("w2", second_, {spec.l, spec.s, spec.r});
  }
  Result forward(const std::vector<at::Tensor>& inputs) override {
    const at::Tensor& x = inputs.at(0);
    const at::Tensor y = monarch_multiply(x, first_, second_);
    if (x.is_meta()) return Result::tuple({y, y});
    const at::Tensor dense = monarch_multiply(at::eye(x.size(1), x.options()), first_, second_);
    return Result::tuple({y, at::matmul(x, dense)});
  }
  std::vector<Example> examples() const override { return {{"x", {batch(), spec_.k * spec_.p}}}; }

 private:
  MonarchSpec spec_;
  at::Tensor first_, second_;
};

struct BlockdiagSpec {
  std::int64_t in_features = 1, out_features = 1, nblocks = 1;
  void fields(Fields& f) {
    f.integer("in_features", in_features);
    f.integer("out_features", out_features);
    f.integer("nblocks", nblocks);
  }
};

class Blockdiag : public Network {
 public:
  explicit Blockdiag(BlockdiagSpec spec)
      : in_(spec.in_features), lin_(spec.in_features, spec.out_features, spec.nblocks) {
    child("lin", lin_);
  }
  Result forward(const std::vector<at::Tensor>& inputs) override { return lin_(inputs.at(0)); }
  std::vector<Example> examples() const override { return {{"x", {batch(), 3, in_}}}; }

 private:
  std::int64_t in_;
  BlockdiagLinear lin_;
};

void expect_met(Family family, const std::string& golden) {
  family.spec_from_shapes = [](const Shapes&) { return std::string("{}"); };
  family.golden_taps = [](std::string_view) -> std::vector<std::string> {
    return {"output", "output:1", "output:2"};
  };
  const ParityResult result =
      check_golden(family, std::filesystem::path(test::data_folder()) / "golden" / (golden + ".json"));
  EXPECT_EQ(result.problem, "") << golden;
  EXPECT_EQ(result.parameters, result.parameters_expected) << golden;
  for (const auto& tap : result.taps)
    EXPECT_TRUE(tap.passed()) << golden << " " << tap.name << ": error " << tap.error << ", tolerance "
                              << tap.tolerance << " " << tap.problem;
  EXPECT_TRUE(result.passed()) << golden;
}

TEST(LayerGoldens, TokensMatchMergeAndUnmerge) {
  const Family family = make_family<MatchingSpec, Matching>("tome_matching", "");
  for (const char* golden :
       {"tome_matching_16_r20_cap", "tome_matching_17_r5_cls", "tome_matching_18_r4_dist"})
    expect_met(family, golden);
}

TEST(LayerGoldens, UnmergingPutsEveryTokenBack) {
  const at::Tensor metric = at::sin(at::arange(2 * 18 * 8, at::kDouble).square()).view({2, 18, 8});
  const at::Tensor place = at::arange(18, at::kDouble).view({1, 18, 1}).expand({2, 18, 1});
  for (const bool distilled : {false, true}) {
    const auto matching = match_tokens(metric, 5, {.class_token = true, .distill_token = distilled});
    const at::Tensor sizes = matching->unmerge(matching->merge(at::ones_like(place)));
    const at::Tensor back = matching->unmerge(matching->merge(place));
    // A token that stayed alone is itself again; merged ones are alike.
    EXPECT_TRUE(at::equal(back.masked_select(sizes.eq(1)), place.masked_select(sizes.eq(1)))) << distilled;
    EXPECT_TRUE(at::allclose(matching->merge(back.div(sizes)), matching->merge(place))) << distilled;
  }
}

TEST(LayerGoldens, TransportOntoReferences) {
  const Family family = make_family<EmbeddingSpec, TransportEmbedding>("otk", "");
  for (const char* golden : {"otk_plain", "otk_gauss_2d"}) expect_met(family, golden);
}

TEST(LayerGoldens, MonarchMatricesMultiply) {
  expect_met(make_family<MonarchSpec, MonarchProduct>("monarch_multiply", ""), "monarch_multiply");
  expect_met(make_family<BlockdiagSpec, Blockdiag>("blockdiag_linear", ""), "blockdiag_linear");
}

}  // namespace
}  // namespace pollard::models
