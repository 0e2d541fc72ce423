// SPDX-License-Identifier: Apache-2.0
// The running statistics of batch norms, measured again on what reaches them after pruning.
#include <ATen/ATen.h>

#include <map>

#include "pruning/repair.h"

namespace pollard::pruning {
namespace {

/// Positions in aten::batch_norm's argument list: input, weight, bias, running_mean, running_var, ...
constexpr std::size_t kInput = 0, kMean = 3, kVariance = 4;

class Reestimator {
 public:
  Reestimator(models::Model& model, const CalibrationSet& calibration)
      : model_(model), work_(calibration.job, calibration.samples()) {
    const CalibrationSet own = samples_between(calibration, work_.begin(), work_.end());
    for (const graph::Input& input : model.program.inputs)
      if (input.kind == graph::Input::Kind::Buffer) source_[input.value] = input.source;
    kernels::RunOptions run;
    run.before_op = [&](const graph::Op& op, std::size_t, std::vector<c10::IValue>& stack) {
      if (op.base_name() == "batch_norm") measure(op, stack);
      return false;
    };
    const graph::Program program = with_batch(model.program, graph::analyse(model.program), own.samples());
    kernels::Executor(program).run(model.weights, own.inputs, run);
  }

  RepairReport report() { return std::move(report_); }

 private:
  void measure(const graph::Op& op, std::vector<c10::IValue>& stack) {
    if (!stack[kMean].isTensor() || !stack[kVariance].isTensor()) return;
    const auto mean_id = op.tensor("running_mean"), variance_id = op.tensor("running_var");
    if (!source_.contains(*mean_id) || !source_.contains(*variance_id)) {
      report_.left.push_back(op.name + ": its statistics are computed");
      return;
    }
    const at::Tensor x = stack[kInput].toTensor();
    const at::Tensor rows = x.transpose(0, 1).reshape({x.size(1), -1}).to(at::kDouble);
    auto count = static_cast<double>(rows.size(1));
    work_.sum(count);
    const at::Tensor old = stack[kMean].toTensor().to(at::kDouble), mean = summed(rows) / count;
    const at::Tensor squares = summed((rows - mean.unsqueeze(1)).square());
    stack[kMean] = store(source_.at(*mean_id), mean);
    stack[kVariance] = store(source_.at(*variance_id), squares / (count - 1));
    const double norm = mean.norm().item<double>();
    report_.ops.push_back({.op = op.name,
                           .parameter = source_.at(*mean_id),
                           .before = norm > 0 ? (old - mean).norm().item<double>() / norm : 0,
                           .after = 0});
  }

  /// [channels] over the samples of all processes.
  at::Tensor summed(const at::Tensor& rows) const {
    at::Tensor sum = rows.sum(1);
    work_.sum(sum);
    return sum;
  }

  at::Tensor store(const std::string& source, const at::Tensor& value) {
    at::Tensor& buffer = model_.weights.at(source);
    buffer = value.to(buffer.scalar_type());
    return buffer;
  }

  models::Model& model_;
  SharedWork work_;
  std::map<graph::ValueId, std::string> source_;
  RepairReport report_;
};

}  // namespace

RepairReport reestimate_batch_norms(models::Model& pruned, const CalibrationSet& calibration) {
  return Reestimator(pruned, calibration).report();
}

}  // namespace pollard::pruning
