// SPDX-License-Identifier: Apache-2.0
// Every criterion against what NumPy computes for three small networks (data/make_criteria.py), in f64; which groups a
// criterion cannot judge; and what is refused.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <numeric>

#include "graph/error.h"
#include "models/model.h"
#include "pruning/calibration.h"
#include "pruning/consumer_problems.h"
#include "pruning/criteria/options.h"
#include "pruning/plan.h"
#include "pruning/scores.h"
#include "tests/paths.h"

namespace pollard::pruning {
namespace {

constexpr double kTolerance = 1e-9;  ///< relative to the group's largest score

struct Network {
  models::Model model;
  graph::Dependencies dependencies;
  CalibrationSet samples;

  explicit Network(const std::string& name)
      : model(models::load(test::data_folder() + "/cases/" + name + ".pt2")),
        dependencies(graph::analyse(model.program)) {
    model.weights = kernels::convert(model.weights, at::kDouble);
    samples.precision = at::kDouble;
  }
  Scores score(const std::string& criterion) const {
    return pruning::score(*make_criterion(criterion),
                          {.model = model, .dependencies = dependencies, .calibration = &samples});
  }
  /// The group whose first parameter dimension is "name:dim", or with that role.
  std::size_t group(const std::string& name) const {
    for (std::size_t g = 0; g < dependencies.groups.size(); ++g) {
      const graph::Axis& axis = dependencies.axes[static_cast<std::size_t>(dependencies.groups[g].axis)];
      const graph::Member& m = axis.members.front();
      if (name ==
          model.program.inputs[static_cast<std::size_t>(m.input)].source + ":" + std::to_string(m.dim))
        return g;
      if (name == "heads" && axis.role == graph::Role::Head) return g;
      if (name == "dims" && axis.role == graph::Role::HeadDim) return g;
    }
    ADD_FAILURE() << "no group " << name;
    return 0;
  }
};

at::Tensor wave(at::IntArrayRef shape) {
  const at::Tensor flat = at::arange(c10::multiply_integers(shape), at::kDouble);
  return (flat * 0.37 + 0.1).sin().view(shape);
}

Network convolution() {
  Network out("syn_flatten_bn_fc");
  out.samples.inputs = {wave({6, 3, 8, 8})};
  out.samples.labels = at::arange(6, at::kLong) % 5;
  return out;
}

Network attention() {
  Network out("mha");
  out.samples.inputs = {wave({4, 8, 32})};
  return out;
}

Network lstm() {
  Network out("bilstm1");
  out.samples.inputs = {(at::arange(32 * 16, at::kLong) * 7919 % 1000).view({32, 16})};
  return out;
}

void expect_as_numpy(const Network& network, const std::string& name) {
  std::ifstream file(test::data_folder() + "/pruning/data/criteria.json");
  const nlohmann::json expected = nlohmann::json::parse(file).at(name);
  for (const auto& [criterion, groups] : expected.items()) {
    SCOPED_TRACE(criterion);
    const Scores scores = network.score(criterion);
    for (const auto& [group, values] : groups.items()) {
      SCOPED_TRACE(group);
      const std::size_t g = network.group(group);
      EXPECT_EQ(scores.why_unjudged(g), "");
      ASSERT_EQ(scores.by_group[g].size(), values.size());
      double largest = 0;
      for (const auto& value : values) largest = std::max(largest, std::abs(value.get<double>()));
      ASSERT_GT(largest, 0);
      for (std::size_t i = 0; i < values.size(); ++i)
        EXPECT_NEAR(scores.by_group[g][i], values[i].get<double>(), kTolerance * largest) << "unit " << i;
    }
  }
}

TEST(Criteria, ScoreAConvolutionAsNumPyDoes) { expect_as_numpy(convolution(), "syn_flatten_bn_fc"); }
TEST(Criteria, ScoreAttentionAsNumPyDoes) { expect_as_numpy(attention(), "mha"); }
TEST(Criteria, ScoreAnLstmAsNumPyDoes) { expect_as_numpy(lstm(), "bilstm1"); }

TEST(Criteria, ThatLookAtSamplesDoNotDependOnHowTheyAreBatched) {
  const Network network = convolution();
  for (const char* name : {"wanda", "flap", "least-squares:metric=local,swaps=0", "obd-c:loss=labels"}) {
    SCOPED_TRACE(name);
    const std::string join = std::string(name).find(':') == std::string::npos ? ":" : ",";
    const Scores whole = network.score(name + join + "batch=6"),
                 parts = network.score(name + join + "batch=4");
    for (std::size_t g = 0; g < whole.by_group.size(); ++g)
      for (std::size_t i = 0; i < whole.by_group[g].size(); ++i)
        EXPECT_NEAR(whole.by_group[g][i], parts.by_group[g][i], 1e-9 * std::abs(whole.by_group[g][i]));
  }
}

TEST(Criteria, OfTheNetworksOwnFisherEstimateWhatPerSampleGradientsGive) {
  // Noise has independent parts a sample, so gradients summed over a batch have the same expected square.
  const auto total = [](const Scores& scores) {
    return std::accumulate(scores.by_group[0].begin(), scores.by_group[0].end(), 0.0);
  };
  Network many = convolution();
  many.samples.inputs[0] = many.samples.inputs[0].repeat({50, 1, 1, 1});
  many.samples.labels = at::Tensor();
  EXPECT_NEAR(total(many.score("fisher:loss=noise,batch=6")) / total(many.score("fisher:loss=noise")), 1,
              0.2);
}

TEST(Criteria, SayWhichGroupsTheyCannotJudgeAndThoseStayWhole) {
  const Network network = attention();
  const Scores scores = network.score("bn-scale");
  EXPECT_EQ(scores.why_unjudged(network.group("heads")), "it passes through no batch norm with a scale");
  PlanOptions options;
  options.ratio = 0.5;
  options.criterion = "bn-scale";
  const Plan plan = make_plan(network.model, network.dependencies, options);
  EXPECT_TRUE(plan.empty());
  EXPECT_EQ(plan.groups[0].kept_whole, "it passes through no batch norm with a scale");
}

TEST(Criteria, OfTheQueryAndKeyDimensionsSeeTheScoresTheyMake) {
  const Network network = attention();
  const Scores scores = network.score("wanda");
  for (double x : scores.by_group[network.group("dims")]) EXPECT_GT(x, 0);
}

std::string code_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const UserError& error) {
    return error.parts().code;
  }
  return "none";
}

TEST(Criteria, RefuseWhatTheyDoNotKnow) {
  for (const char* text :
       {"magnitud", "magnitude:q=1", "magnitude:p=0", "lamp:normalize=mean", "taylor:form=x",
        "least-squares:ridge=-1", "random:seed=1", "wanda:batch=0", "wanda:batch=1.5"})
    EXPECT_EQ(code_of([&] { make_criterion(text); }), "E0208") << text;
  for (const CriterionInfo& info : known_criteria())
    EXPECT_EQ(make_criterion(make_criterion(info.name)->name())->name(), make_criterion(info.name)->name());
}

// Plans of `fairness` name what ranked their units; nobody can rank by it without the measurements.
TEST(Criteria, OfMeasuredRemovalAreNamedInPlansAlone) {
  EXPECT_EQ(make_criterion("fairness")->name(), "fairness:method=fasp,gamma=0.3");
  EXPECT_EQ(make_criterion("fairness:method=bias")->name(), "fairness:method=bias");
  for (const char* text : {"fairness:method=charm", "fairness:method=bias,gamma=0.3", "fairness:alpha=1"})
    EXPECT_EQ(code_of([&] { make_criterion(text); }), "E0208") << text;
  const Network network = convolution();
  EXPECT_EQ(
      code_of([&] {
        make_criterion("fairness")->score({.model = network.model, .dependencies = network.dependencies});
      }),
      "E0210");
}

TEST(Criteria, ThatNeedSamplesOrLabelsSaySo) {
  Network network = convolution();
  const auto score = [&](const char* text, const CalibrationSet* samples) {
    return code_of([&] {
      pruning::score(*make_criterion(text),
                     {.model = network.model, .dependencies = network.dependencies, .calibration = samples});
    });
  };
  for (const char* text : {"taylor", "fisher", "obd-c", "wanda", "flap", "least-squares"})
    EXPECT_EQ(score(text, nullptr), "E0210") << text;
  network.samples.labels = at::Tensor();
  EXPECT_EQ(score("taylor:loss=labels", &network.samples), "E0210");
  network.samples.labels = at::full({6}, 5, at::kLong);
  EXPECT_EQ(score("taylor", &network.samples), "E0395");
}

TEST(LeastSquares, SwapsNeverMakeAChoiceWorseAndSumsOfScoresAreItsError) {
  const Network network = attention();
  const std::size_t g = network.group("dims");
  const Scores scores = network.score("least-squares:metric=local,swaps=8");
  ASSERT_TRUE(scores.additive);
  ASSERT_TRUE(scores.refine);
  // The worst half: swapping must find its way back to one no worse than greedy's worst half.
  std::vector<std::int64_t> worst(16);
  std::iota(worst.begin(), worst.end(), 0);
  std::ranges::stable_sort(worst, std::greater<>(),
                           [&](std::int64_t u) { return scores.by_group[g][static_cast<std::size_t>(u)]; });
  worst.resize(8);
  std::ranges::sort(worst);
  const auto better = scores.refine(g, worst);
  EXPECT_EQ(better.size(), worst.size());
  EXPECT_TRUE(std::ranges::is_sorted(better));
  EXPECT_NE(better, worst);
}

/// A criterion from outside the library: later units cost more.
class Position final : public Criterion {
 public:
  explicit Position(CriterionOptions& options) : step_(options.number("step", 1)) {}
  std::string name() const override { return "position"; }
  Scores score(const ScoreContext& context) const override {
    Scores scores;
    for (const graph::Group& group : context.dependencies.groups) {
      std::vector<double>& out = scores.by_group.emplace_back();
      for (std::int64_t i = 0; i < context.dependencies.axes[static_cast<std::size_t>(group.axis)].size; ++i)
        out.push_back(step_ * static_cast<double>(i));
    }
    return scores;
  }

 private:
  double step_;
};

TEST(Criteria, OfOnesOwnRegisterFromOutside) {
  register_criterion({.name = "position", .summary = "later units cost more"},
                     [](CriterionOptions& options) { return std::make_unique<Position>(options); });
  const Network network = convolution();
  PlanOptions options;
  options.ratio = 0.5;
  options.criterion = "position:step=2";
  const Plan plan = make_plan(network.model, network.dependencies, options);
  EXPECT_EQ(plan.groups[0].removed, (std::vector<std::int64_t>{0, 1, 2, 3}));
  EXPECT_EQ(code_of([] { make_criterion("position:other=1"); }), "E0208");
}

/// Activations that hardly differ from sample to sample: in single precision their second moments are known to 1e-7 of an
/// eigenvalue thousands of times the mean, and adding 1e-3 of it leaves them indefinite.
TEST(LeastSquares, RidgeGrowsUntilIndefiniteMomentsAreDefinite) {
  const auto inverse = [](const at::Tensor& moments) {
    const auto input = std::make_shared<InputMoments>(InputMoments{
        .sum = at::zeros({1, 2}, at::kDouble), .second = moments.unsqueeze(0), .rows = 1, .total = 1});
    Statistics statistics;
    statistics.observed.push_back(
        {.contraction = {}, .weight = at::ones({1, 1, 2, 1}), .input = input, .output_gradient = {}});
    const auto problems =
        consumer_problems({{.observed = 0, .channels = {{0}, {1}}}}, statistics, 1e-3, ErrorMetric::Local);
    return problems.at(0).inverse[0];
  };
  const at::Tensor known = at::tensor({2.0, 0.5, 0.5, 2.0}, at::kDouble).view({2, 2}),
                   indefinite = at::tensor({1.0, 1.002, 1.002, 1.0}, at::kDouble).view({2, 2}),
                   unit = at::eye(2, at::kDouble);
  EXPECT_TRUE(at::allclose(at::matmul(inverse(known), known + 2e-3 * unit), unit));
  EXPECT_TRUE(at::allclose(at::matmul(inverse(indefinite), indefinite + 1e-2 * unit), unit));
  try {
    inverse(indefinite * NAN);
    ADD_FAILURE() << "moments that are no numbers";
  } catch (const UserError& error) {
    EXPECT_EQ(error.parts().code, "E0325");
  }
}

}  // namespace
}  // namespace pollard::pruning
