// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "graph/program.h"

namespace pollard::kernels {

/// Weights by state-dict name (graph::Input::source): parameters, buffers and lifted constants.
/// Tied names hold the same tensor.
using Weights = std::map<std::string, at::Tensor>;

at::ScalarType to_scalar_type(graph::DType dtype);
graph::DType from_scalar_type(at::ScalarType type);

/// Sees an op before it runs. `stack` holds the op's full argument list in schema order (defaults filled in);
/// a hook may replace arguments, or run the op its own way, leave the results on the stack and return true.
using OpHook =
    std::function<bool(const graph::Op& op, std::size_t op_index, std::vector<c10::IValue>& stack)>;
/// Sees every tensor value right after the op that made it (calibration, taps); may replace it.
using ValueHook = std::function<void(graph::ValueId value, at::Tensor& tensor)>;

struct RunOptions {
  /// Run all floating-point arithmetic in this type: weights, inputs and dtype arguments are converted.
  /// f64 is how pruned and masked programs are compared.
  std::optional<at::ScalarType> compute_type;
  at::Device device = at::kCPU;
  bool autograd = false;  ///< otherwise runs under inference mode rules (no graph is built)
  bool train = false;     ///< train-mode behaviour of dropout and batch norm
  /// Receives the buffers the run changed, by source: running statistics when training, counters, caches.
  Weights* mutated = nullptr;
  OpHook before_op;
  ValueHook after_value;
  bool time_ops = false;  ///< fill Executor::timings()
};

/// Runs a Program through the dispatcher, op by op; frees every value after its last use.
/// Refuses (UserError, Exit::Unsupported, E0410) a program with an op outside the allow-list: only ops of the
/// op table (graph/op_rules.h) and a list of pure tensor ops may run, so a model file cannot do anything else.
/// Weights and inputs are never written to, also when the program has in-place ops on them.
class Executor {
 public:
  explicit Executor(graph::Program program);
  ~Executor();
  Executor(Executor&&) noexcept;
  Executor& operator=(Executor&&) noexcept;

  const graph::Program& program() const;

  /// `inputs`: the user inputs that are tensors, in order; shapes may differ from the example where sizes are
  /// symbolic. Returns the user outputs that are tensors, in order.
  std::vector<at::Tensor> run(const Weights& weights, const std::vector<at::Tensor>& inputs,
                              const RunOptions& options = {}) const;

  struct OpTime {
    std::size_t op_index;
    double seconds;  ///< of the last run with time_ops
  };
  const std::vector<OpTime>& timings() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// The same weights on `device`, floating ones as `type`: what a caller keeps who runs with compute_type or on a
/// device many times. Tensors already right are shared, ties stay ties.
Weights convert(const Weights& weights, std::optional<at::ScalarType> type, at::Device device = at::kCPU);

/// Whether the executor may run this target ("aten.linear.default", "_operator.mul").
bool is_allowed(std::string_view target);

}  // namespace pollard::kernels
