// SPDX-License-Identifier: Apache-2.0
// What is measured for a report, and what the criterion says of itself.
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "cli/report/report.h"
#include "kernels/executor.h"
#include "models/io/cancel.h"
#include "pruning/eligible.h"
#include "pruning/unit_order.h"
#include "pruning/verify.h"

namespace pollard::cli::report {
namespace {

/// Runs dense and smaller network in turn, so that both find the machine equally busy.
class Stage {
 public:
  Stage(const models::Model& model, const std::vector<at::Tensor>& inputs)
      : model_(model), inputs_(inputs), executor_(model.program) {
    seconds_.assign(model.program.ops.size(), std::numeric_limits<double>::infinity());
  }
  void run(bool counts) {
    models::io::throw_if_cancelled();
    kernels::RunOptions options;
    options.time_ops = true;
    executor_.run(model_.weights, inputs_, options);
    const auto& timings = executor_.timings();
    for (std::size_t i = 0; counts && i < timings.size() && i < seconds_.size(); ++i)
      seconds_[i] = std::min(seconds_[i], timings[i].seconds);
  }
  std::map<std::string, double> by_name() const {
    std::map<std::string, double> out;
    for (std::size_t i = 0; i < seconds_.size(); ++i)
      out[model_.program.ops[i].name] = std::isfinite(seconds_[i]) ? seconds_[i] : 0;
    return out;
  }

 private:
  const models::Model& model_;
  const std::vector<at::Tensor>& inputs_;
  kernels::Executor executor_;
  std::vector<double> seconds_;
};

bool weightless(const models::Model& model) {
  return model.weights.empty() ||
         std::ranges::any_of(model.weights, [](const auto& entry) { return entry.second.is_meta(); });
}

Json op_row(const graph::Op& op) {
  return {{"name", op.name},
          {"op", op.base_name()},
          {"module", op.module},
          {"before", Json()},
          {"after", Json()}};
}

}  // namespace

Json latency_part(const models::Model& before, const models::Model* after, int runs) {
  if (runs <= 0 || weightless(before)) return {};
  const auto inputs = pruning::example_inputs(before, 1, 0).at(0);
  std::vector<Stage> stages;
  stages.emplace_back(before, inputs);
  if (after != nullptr) stages.emplace_back(*after, inputs);
  for (int run = -1; run < runs; ++run)
    for (Stage& stage : stages) stage.run(run >= 0);
  std::map<std::string, double> dense = stages[0].by_name(), small;
  if (after != nullptr) small = stages[1].by_name();
  Json ops = Json::array();
  for (const graph::Op& op : before.program.ops) {
    ops.push_back(op_row(op));
    ops.back()["before"] = dense.at(op.name);
    if (const auto found = small.find(op.name); found != small.end()) ops.back()["after"] = found->second;
  }
  // Ops that pruning put in: a gather, a split of unequal parts.
  for (const graph::Op& op : after ? after->program.ops : std::vector<graph::Op>{}) {
    if (dense.contains(op.name)) continue;
    ops.push_back(op_row(op));
    ops.back()["after"] = small.at(op.name);
  }
  return {{"runs", runs}, {"ops", ops}};
}

std::vector<TradeOffPoint> other_ratios(const AnalysedModel& m, const pruning::PlanOptions& options) {
  if (pruning::make_criterion(options.criterion)->needs_calibration()) return {};
  pruning::PlanOptions one{.criterion = options.criterion,
                           .ignore = options.ignore,
                           .only = options.only,
                           .exact_only = options.exact_only,
                           .allow_nonfinite = options.allow_nonfinite,
                           .seed = options.seed};
  std::vector<TradeOffPoint> out;
  for (const double ratio : {0.1, 0.3, 0.5, 0.7, 0.9}) {
    models::io::throw_if_cancelled();
    one.ratio = ratio;
    const pruning::Plan plan = pruning::make_plan(m.model, m.dependencies, one);
    out.push_back({.ratio = ratio, .before = plan.before, .after = plan.after, .sliced = {}, .repaired = {}});
  }
  return out;
}

Json criterion_part(const AnalysedModel& m, const pruning::PlanOptions& options) {
  const auto criterion = pruning::make_criterion(options.criterion);
  if (criterion->needs_calibration()) return {};
  auto classes = pruning::classes_of(m.model, m.dependencies, options);
  const pruning::UnitOrder order(m.model, m.dependencies, options, {}, classes);
  Json groups = Json::array();
  for (const pruning::Class& c : classes) {
    const double all = c.takes_part() ? order.summed_score(c, c.size) : 0;
    if (!(all > 0)) continue;
    Json points = Json::array();
    for (int eighth = 0; eighth <= 8; ++eighth) {
      const std::int64_t units = c.size * eighth / 8;
      points.push_back({{"removed", units}, {"lost", order.summed_score(c, units) / all}});
    }
    groups.push_back({{"group", m.dependencies.groups[static_cast<std::size_t>(c.groups.front())].id},
                      {"units", c.size},
                      {"points", points}});
  }
  return {{"name", criterion->name()}, {"groups", groups}};
}

}  // namespace pollard::cli::report
