// SPDX-License-Identifier: Apache-2.0
#include "pruning/sensitivity.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "graph/error.h"
#include "models/io/cancel.h"
#include "models/io/stage.h"
#include "pruning/repair.h"
#include "pruning/rewrite.h"

namespace pollard::pruning {
namespace {

std::vector<SensitivityPoint> measure_class(const models::Model& model, const graph::Dependencies& d,
                                            const Class& c, const UnitOrder& order,
                                            const CalibrationSet& samples,
                                            const std::vector<at::Tensor>& dense,
                                            const SensitivityOptions& options) {
  std::vector<SensitivityPoint> points;
  RepairOptions local;
  local.only_sliced = true;
  for (const double share : options.shares) {
    models::io::throw_if_cancelled();
    const std::int64_t units = std::max(
        c.first_step, whole_steps(c, static_cast<std::int64_t>(share * static_cast<double>(c.removable))));
    if (!points.empty() && points.back().removed == units) continue;
    const graph::Removal removal = removal_of(d, c, order, units);
    models::Model pruned = prune(model, d, removal);
    SensitivityPoint point{.removed = units};
    if (options.sliced) point.sliced = output_error(outputs_on(pruned, samples), dense);
    repair(pruned, model, d, removal, samples, local);
    point.repaired = output_error(outputs_on(pruned, samples), dense);
    points.push_back(point);
  }
  return points;
}

/// What each process has measured of its classes, to all.
void share(std::vector<std::vector<SensitivityPoint>>& points, std::size_t shares, const SharedWork& work) {
  if (!work.split()) return;
  at::Tensor all = at::zeros({std::ssize(points), static_cast<std::int64_t>(shares), 3}, at::kDouble);
  const auto numbers = all.accessor<double, 3>();
  for (std::size_t c = 0; c < points.size(); ++c)
    for (std::size_t p = 0; p < points[c].size(); ++p) {
      const SensitivityPoint& point = points[c][p];
      auto row = numbers[static_cast<std::int64_t>(c)][static_cast<std::int64_t>(p)];
      row[0] = static_cast<double>(point.removed);
      row[1] = point.sliced;
      row[2] = point.repaired;
    }
  work.sum(all);
  for (std::size_t c = 0; c < points.size(); ++c) {
    points[c].clear();
    for (std::size_t p = 0; p < shares; ++p) {
      const auto row = numbers[static_cast<std::int64_t>(c)][static_cast<std::int64_t>(p)];
      if (row[0] > 0)
        points[c].push_back({.removed = std::llround(row[0]), .sliced = row[1], .repaired = row[2]});
    }
  }
}

}  // namespace

void require_samples(const CalibrationSet* calibration, const std::string& subject) {
  if (calibration) return;
  throw UserError({.code = "E0210",
                   .exit = Exit::Usage,
                   .subject = subject,
                   .message = "needs samples to measure errors on",
                   .where = {},
                   .why = {},
                   .help = "give some with --calib FILE"});
}

Sensitivity sensitivity_report(const models::Model& model, const graph::Dependencies& d,
                               const PlanOptions& options, const CalibrationSet* calibration) {
  require_samples(calibration, "--sensitivity");
  Sensitivity out{.classes = classes_of(model, d, options), .points = {}};
  const UnitOrder order(model, d, options, {.calibration = calibration}, out.classes);
  out.points = measure_sensitivity(model, d, out.classes, order, *calibration);
  return out;
}

graph::Removal removal_of(const graph::Dependencies& d, const Class& c, const UnitOrder& order,
                          std::int64_t units) {
  graph::Removal removal(d);
  for (std::int32_t g : c.groups)
    removal.removed[static_cast<std::size_t>(d.groups[static_cast<std::size_t>(g)].axis)] =
        order.first(g, units);
  // Constant states have no units of their own to choose; they get shorter with their layer.
  for (graph::AxisIndex a : c.followers) {
    auto& removed = removal.removed[static_cast<std::size_t>(a)];
    removed.resize(static_cast<std::size_t>(units));
    std::iota(removed.begin(), removed.end(), 0);
  }
  return removal;
}

double output_error(const std::vector<at::Tensor>& outputs, const std::vector<at::Tensor>& dense) {
  double sum = 0;
  for (std::size_t i = 0; i < dense.size(); ++i) {
    const at::Tensor want = dense[i].to(at::kDouble);
    const double variance = (want - want.mean(0, true)).square().sum().item<double>();
    const double square = (outputs[i].to(at::kDouble) - want).square().sum().item<double>();
    sum += square / std::max(variance, 1e-30);
  }
  return dense.empty() ? 0 : sum / static_cast<double>(dense.size());
}

std::vector<at::Tensor> outputs_on(const models::Model& model, const CalibrationSet& samples) {
  const graph::Program program = with_batch(model.program, graph::analyse(model.program), samples.samples());
  return kernels::Executor(program).run(model.weights, samples.inputs);
}

std::vector<std::vector<SensitivityPoint>> measure_sensitivity(
    const models::Model& model, const graph::Dependencies& d, const std::vector<Class>& classes,
    const UnitOrder& order, const CalibrationSet& calibration, const SensitivityOptions& options) {
  CalibrationSet samples = samples_between(calibration, 0, std::min(options.samples, calibration.samples()));
  samples.job = nullptr;  // a class is one process's from end to end
  const SharedWork work(calibration.job, std::ssize(classes));
  const auto tell = [&](std::int64_t done) {
    models::io::tell_stage(
        {.name = "sensitivity", .unit = "groups", .done = done, .total = work.end() - work.begin()});
  };
  tell(0);
  const std::vector<at::Tensor> dense = outputs_on(model, samples);
  std::vector<std::vector<SensitivityPoint>> out(classes.size());
  for (std::int64_t i = work.begin(); i < work.end(); ++i) {
    const auto c = static_cast<std::size_t>(i);
    if (classes[c].takes_part()) out[c] = measure_class(model, d, classes[c], order, samples, dense, options);
    if (options.after_class) options.after_class();
    tell(i + 1 - work.begin());
  }
  share(out, options.shares.size(), work);
  return out;
}

}  // namespace pollard::pruning
