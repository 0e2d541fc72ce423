// SPDX-License-Identifier: Apache-2.0
// Budgets, alone and together: met to within one unit whatever the scope, or refused with what is missing.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "graph/error.h"
#include "pruning/eligible.h"
#include "pruning/plan.h"
#include "pruning/sensitivity.h"
#include "tests/paths.h"

namespace pollard::pruning {
namespace {

struct Budget {
  std::string name;
  double parameters, macs, activations, stored;  ///< shares of the dense network's; 1: no bound
};

const Budget kBudgets[] = {{"Parameters", 0.5, 1, 1, 1},
                           {"Macs", 1, 0.4, 1, 1},
                           {"Activations", 1, 1, 0.7, 1},
                           {"Stored", 1, 1, 1, 0.5},
                           {"AllTogether", 0.5, 0.5, 0.8, 0.6}};

class Budgets : public ::testing::TestWithParam<std::tuple<std::string, Scope>> {
 protected:
  models::Model model =
      models::load(std::filesystem::path(test::data_folder()) / "cases" / (std::get<0>(GetParam()) + ".pt2"));
  graph::Dependencies d = graph::analyse(model.program);
  graph::CostModel cost{model.program, d};
  graph::Cost full = cost.evaluate(graph::full_widths(d));
  CalibrationSet samples = random_samples();

  CalibrationSet random_samples() const {
    CalibrationSet out;
    for (const graph::Input* input : model.program.user_inputs()) {
      std::vector<std::int64_t> shape = model.program[input->value].sizes();
      shape[0] = 32;
      out.inputs.push_back(at::randn(shape));
    }
    return out;
  }

  static std::optional<std::int64_t> share_of(std::int64_t whole, double share) {
    if (share >= 1) return std::nullopt;
    return static_cast<std::int64_t>(share * static_cast<double>(whole));
  }
  PlanOptions options(const Budget& budget) const {
    PlanOptions out;
    out.scope = std::get<1>(GetParam());
    out.max_parameters = share_of(full.parameters, budget.parameters);
    out.max_macs = share_of(full.macs, budget.macs);
    out.max_activation_bytes = share_of(full.peak_activation_bytes, budget.activations);
    out.max_stored_bytes = share_of(full.stored_bytes, budget.stored);
    return out;
  }
  static bool met(const graph::Cost& cost, const PlanOptions& o) {
    return cost.parameters <= o.max_parameters.value_or(cost.parameters) &&
           cost.macs <= o.max_macs.value_or(cost.macs) &&
           cost.peak_activation_bytes <= o.max_activation_bytes.value_or(cost.peak_activation_bytes) &&
           cost.stored_bytes <= o.max_stored_bytes.value_or(cost.stored_bytes);
  }
  /// Whether some class could get its last step back and the budgets would still be met.
  bool all_could_return(const Plan& plan, const PlanOptions& o) const {
    bool all = true;
    for (const Class& c : classes_of(model, d, o)) {
      graph::Widths widths = plan.removal.widths(d);
      const auto axis = [&](std::int32_t g) {
        return static_cast<std::size_t>(d.groups[static_cast<std::size_t>(g)].axis);
      };
      if (!c.takes_part() || plan.removal.removed[axis(c.groups.front())].empty()) continue;
      for (std::int32_t g : c.groups) ++widths[axis(g)];
      for (graph::AxisIndex a : c.followers) ++widths[static_cast<std::size_t>(a)];
      all = all && met(cost.evaluate(widths), o);
    }
    return all;
  }
};

TEST_P(Budgets, AreMetToWithinOneUnitOrRefused) {
  for (const Budget& budget : kBudgets) {
    const PlanOptions o = options(budget);
    try {
      const Plan plan = make_plan(model, d, o, &samples);
      EXPECT_TRUE(met(plan.after, o)) << budget.name;
      EXPECT_FALSE(all_could_return(plan, o)) << budget.name << ": more was removed than needed";
    } catch (const UserError& error) {
      EXPECT_EQ(error.parts().code, "E0430") << budget.name;
      PlanOptions most = o;
      most.max_parameters = most.max_macs = most.max_activation_bytes = most.max_stored_bytes = std::nullopt;
      most.scope = Scope::Local;
      most.ratio = 1;
      EXPECT_FALSE(met(make_plan(model, d, most).after, o)) << budget.name << " was refused, and can be met";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, Budgets,
                         ::testing::Combine(::testing::Values("syn_gn", "syn_group_conv", "syn_lstm1"),
                                            ::testing::Values(Scope::Global, Scope::Isomorphic, Scope::Local,
                                                              Scope::Measured)),
                         [](const auto& test) {
                           return std::get<0>(test.param) + "_" +
                                  std::string(to_string(std::get<1>(test.param)));
                         });

TEST(Sensitivity, GrowsFromNothingAndRepairHelps) {
  const models::Model model =
      models::load(std::filesystem::path(test::data_folder()) / "cases" / "syn_flatten_bn_fc.pt2");
  const graph::Dependencies d = graph::analyse(model.program);
  PlanOptions options;
  options.ratio = 0.5;
  std::vector<std::int64_t> shape = model.program[model.program.user_inputs()[0]->value].sizes();
  shape[0] = 256;
  const CalibrationSet samples{.inputs = {at::randn(shape)}, .labels = {}};
  const Sensitivity report = sensitivity_report(model, d, options, &samples);
  std::size_t measured = 0;
  for (const auto& points : report.points)
    for (const SensitivityPoint& point : points) {
      ++measured;
      EXPECT_GT(point.sliced, 0);
      EXPECT_LT(point.repaired, point.sliced * 1.02);
    }
  EXPECT_GT(measured, 0u);
  EXPECT_THROW(sensitivity_report(model, d, options, nullptr), UserError);
}

}  // namespace
}  // namespace pollard::pruning
