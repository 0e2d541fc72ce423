// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <vector>

#include "pruning/calibration.h"
#include "pruning/unit_order.h"

namespace pollard::pruning {

/// What shrinking one class alone does to the network's outputs on the samples: the squared error relative to the
/// outputs' variance (0: nothing; 1: no better than a constant).
struct SensitivityPoint {
  std::int64_t removed = 0;  ///< units of each of the class's groups
  double sliced = 0;         ///< with the sliced weights as they are
  double repaired = 0;       ///< with the layers that lost units refitted
};

struct SensitivityOptions {
  std::int64_t samples = 128;                             ///< the first of the calibration set
  std::vector<double> shares{0.125, 0.25, 0.5, 0.75, 1};  ///< of what may be removed
  bool sliced = true;  ///< measure that too; allocation needs `repaired` alone
  std::function<void()> after_class;
};

/// One list a class, empty for classes that take no part: each is pruned alone by `order` at every share, its own layers
/// are refitted, and both networks are run. Costs a few runs over `samples` for every class and share. Processes that share the
/// samples (CalibrationSet::job) each measure some of the classes, on all of them: the numbers are those of one process.
std::vector<std::vector<SensitivityPoint>> measure_sensitivity(
    const models::Model& model, const graph::Dependencies& dependencies, const std::vector<Class>& classes,
    const UnitOrder& order, const CalibrationSet& calibration, const SensitivityOptions& options = {});

/// The same for everything that the options let take part: what `pollard plan --sensitivity` shows. Throws UserError E0210
/// without samples.
struct Sensitivity {
  std::vector<Class> classes;
  std::vector<std::vector<SensitivityPoint>> points;
};
Sensitivity sensitivity_report(const models::Model& model, const graph::Dependencies& dependencies,
                               const PlanOptions& options, const CalibrationSet* calibration);

/// Throws UserError E0210, for the option `subject`, when there are no samples.
void require_samples(const CalibrationSet* calibration, const std::string& subject);

/// The removal of the first `units` units of one class.
graph::Removal removal_of(const graph::Dependencies& dependencies, const Class& c, const UnitOrder& order,
                          std::int64_t units);

/// The squared error of `outputs` relative to the variance of `dense`, mean over the outputs.
double output_error(const std::vector<at::Tensor>& outputs, const std::vector<at::Tensor>& dense);
/// The program's outputs on the samples.
std::vector<at::Tensor> outputs_on(const models::Model& model, const CalibrationSet& samples);

}  // namespace pollard::pruning
