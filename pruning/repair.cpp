// SPDX-License-Identifier: Apache-2.0
#include "pruning/repair.h"

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <set>

#include "graph/cost.h"
#include "graph/error.h"
#include "kernels/communicator.h"
#include "models/io/stage.h"
#include "pruning/lock_step.h"
#include "pruning/refit_recurrent.h"
#include "pruning/repair_layers.h"
#include "pruning/residuals.h"
#include "pruning/sample_order.h"

namespace pollard::pruning {
namespace {

using graph::Op;
using graph::Program;
using graph::ValueId;
using Stack = std::vector<c10::IValue>;

/// The layers that the removal reaches: they or something upstream of them lost units; or only those that lost units
/// themselves. Others stay as they are.
Inventory reached_layers(const Program& program, const graph::Dependencies& d, const graph::Removal& removal,
                         bool only_sliced) {
  std::vector<bool> changed(program.values.size(), false);
  std::set<std::string> sliced;
  const auto at = [&](ValueId id) { return static_cast<std::size_t>(id.index); };
  for (std::size_t v = 0; v < changed.size(); ++v)
    changed[v] =
        std::ranges::any_of(d.values[v].dims, [&](auto term) { return graph::touched(d, term, removal); });
  for (const graph::Input& input : program.inputs)
    if (!input.constant && changed[at(input.value)]) sliced.insert(input.source);
  for (const Op& op : program.ops)
    for (const graph::NamedArg& named : op.args)
      for (ValueId id : graph::values_in(named.arg))
        if (changed[at(id)])
          for (ValueId output : op.outputs) changed[at(output)] = true;
  Inventory out = find_layers(program);
  std::erase_if(out.layers, [&](const auto& entry) {
    const Layer& layer = entry.second;
    if (!changed[at(program.ops[layer.dense_op].outputs[0])]) return true;
    return only_sliced && std::ranges::none_of(layer.parameters, [&](const std::string& name) {
             return sliced.contains(name);
           });
  });
  return out;
}

c10::OperatorHandle operator_of(const Op& op) {
  const auto first = op.target.find('.'), second = op.target.find('.', first + 1);
  const std::string overload = op.target.substr(second + 1);
  return c10::Dispatcher::singleton().findSchemaOrThrow(
      ("aten::" + op.target.substr(first + 1, second - first - 1)).c_str(),
      overload == "default" ? "" : overload.c_str());
}

std::size_t position(const c10::FunctionSchema& schema, const std::string& argument) {
  const auto index = schema.argumentIndexWithName(argument);
  POLLARD_CHECK(index, schema.name() + " has no argument " + argument);
  return static_cast<std::size_t>(*index);
}

class Repairer {
 public:
  Repairer(models::Model& pruned, const models::Model& dense, const graph::Dependencies& d,
           const graph::Removal& removal, const CalibrationSet& calibration, const RepairOptions& options)
      : pruned_(pruned),
        dense_(dense),
        d_(d),
        removal_(removal),
        options_(options.refit),
        own_(own_samples(calibration, options_)),
        order_(dense.program, d, own_.samples()),
        inventory_(reached_layers(dense.program, d, removal, options.only_sliced)),
        summands_(find_summands(dense.program, inventory_.layers)),
        dense_program_(with_batch(dense.program, d, own_.samples())),
        pruned_program_(with_batch(pruned.program, graph::analyse(pruned.program), own_.samples())),
        beside_(dense_program_, dense.weights, own_.inputs, stops()) {
    report_.left = inventory_.left;
    tell(0);
    kernels::RunOptions run;
    run.before_op = [&](const Op& op, std::size_t, Stack& stack) {
      if (const auto found = inventory_.layers.find(op.name); found != inventory_.layers.end())
        refit(found->second, op, stack), tell(++seen_);
      return false;
    };
    for (const auto& [_, summand] : summands_) others_.want(summand.other);
    run.after_value = [&](ValueId value, at::Tensor& tensor) { others_.see(value, tensor); };
    kernels::Executor(pruned_program_).run(pruned.weights, own_.inputs, run);
  }

  RepairReport report() { return std::move(report_); }

 private:
  /// This process's samples, and in the options how they are shared.
  static CalibrationSet own_samples(const CalibrationSet& all, RefitOptions& options) {
    options.work = SharedWork(all.job, all.samples());
    return samples_between(all, options.work.begin(), options.work.end());
  }

  /// What a value held, the samples first and without the rows that do not count.
  at::Tensor rows_of(const at::Tensor& x, ValueId value) const {
    return counted_rows(order_.first(x, value), own_.mask);
  }

  ValueId input(const Layer& layer) const { return *dense_.program.ops[layer.dense_op].tensor(layer.input); }
  ValueId output(const Layer& layer) const { return dense_.program.ops[layer.dense_op].outputs[0]; }

  Summand summand_of(const Layer& layer) const {
    const auto found = summands_.find(layer.name);
    return found == summands_.end() ? Summand{} : found->second;
  }

  Stops stops() const {
    Stops out;
    for (const auto& [_, layer] : inventory_.layers)
      if (layer.kind == Layer::Kind::Recurrent)
        out.arguments.insert(layer.dense_op);
      else
        out.results[output(layer)] = summand_of(layer).other;
    return out;
  }

  void tell(std::size_t done) const {
    models::io::tell_stage({.name = "repair",
                            .unit = "layers",
                            .done = static_cast<std::int64_t>(done),
                            .total = std::ssize(inventory_.layers)});
  }

  void refit(const Layer& layer, const Op& op, Stack& stack) {
    if (layer.kind == Layer::Kind::Recurrent) return refit_recurrent_op(layer, op, stack);
    const at::Tensor target = target_of(layer);
    const c10::OperatorHandle handle = operator_of(op);
    const std::size_t at_weight = position(handle.schema(), layer.weight),
                      at_bias = layer.has_bias() ? position(handle.schema(), layer.bias) : 0;
    const at::Tensor weight = stack[at_weight].toTensor();
    const at::Tensor bias = layer.has_bias() ? stack[at_bias].toTensor() : at::Tensor();
    const Refit refit = solve(layer, op, handle, stack, weight, bias, target);
    report_.ops.push_back(
        {.op = layer.name, .parameter = layer.parameters[0], .before = refit.before, .after = refit.after});
    stack[at_weight] = store(layer.parameters[0], refit.weight);
    if (layer.has_bias()) stack[at_bias] = store(layer.parameters[1], refit.bias);
  }

  at::Tensor store(const std::string& source, const at::Tensor& value) {
    at::Tensor& weight = pruned_.weights.at(source);
    weight = value.to(weight.scalar_type()).view(weight.sizes()).contiguous();
    return weight;
  }

  Refit solve(const Layer& layer, const Op& op, const c10::OperatorHandle& handle, const Stack& stack,
              const at::Tensor& weight, const at::Tensor& bias, const at::Tensor& target) const {
    const at::Tensor x = stack[position(handle.schema(), layer.input)].toTensor();
    switch (layer.kind) {
      case Layer::Kind::Transposed: {
        Refit out = refit_linear(rows_of(x, input(layer)), weight.t(), bias, rows_of(target, output(layer)),
                                 options_);
        out.weight = out.weight.t().contiguous();
        return out;
      }
      case Layer::Kind::Convolution: return solve_convolution(op, x, weight, bias, target);
      case Layer::Kind::Affine: return solve_affine(layer, handle, stack, weight, bias, target);
      case Layer::Kind::Linear:
      case Layer::Kind::Recurrent: break;
    }
    return refit_linear(rows_of(x, input(layer)), weight, bias, rows_of(target, output(layer)), options_);
  }

  /// The dense network's output; in a residual sum, what the sum lacks once the other summand is the pruned network's.
  at::Tensor target_of(const Layer& layer) {
    const LockStep::Taken dense = beside_.take(output(layer));
    at::Tensor target = kept_units(output(layer), dense.result);
    const Summand summand = summand_of(layer);
    const at::Tensor other = others_.take(summand.other);
    if (!other.defined()) return target;
    const at::Tensor lost = (kept_units(summand.other, dense.earlier) - other).reshape(target.sizes());
    if (summand.scale.empty()) return target + lost;
    std::vector<std::int64_t> channels(static_cast<std::size_t>(target.dim()) - 1, 1);
    channels[0] = -1;
    return target + lost * norm_inverse(summand).view(channels);
  }

  /// What a batch norm's output changes by, as a change of its input: sqrt(variance + eps) / scale a channel; 0 where the
  /// scale is too small to reach anything.
  at::Tensor norm_inverse(const Summand& summand) const {
    const at::Tensor scale = pruned_.weights.at(summand.scale),
                     spread = (pruned_.weights.at(summand.variance) + summand.eps).sqrt();
    const at::Tensor factor = spread / scale;
    return at::where(scale.abs() > 1e-3 * spread, factor, at::zeros_like(factor));
  }

  /// Of a dense value, the units that are kept.
  at::Tensor kept_units(ValueId value, const at::Tensor& dense) const {
    const std::vector<graph::TermId>& dims = d_[value].dims;
    at::Tensor out = dense;
    for (std::size_t dim = 0; dim < dims.size(); ++dim)
      if (graph::touched(d_, dims[dim], removal_))
        out = out.index_select(
            static_cast<std::int64_t>(dim),
            at::tensor(graph::kept_indices(d_, dims[dim], removal_), at::TensorOptions().dtype(at::kLong)));
    return out;
  }

  static std::vector<std::int64_t> pair_of(const Op& op, std::string_view name, std::int64_t fallback,
                                           bool flat) {
    const graph::Arg* arg = op.find(name);
    const auto* list = arg ? arg->as<graph::Arg::List>() : nullptr;
    std::vector<std::int64_t> out;
    if (list)
      for (const graph::Arg& item : *list) out.push_back(*item.as<std::int64_t>());
    if (out.empty()) out.push_back(fallback);
    if (flat) return {name == "padding" ? 0 : 1, out[0]};  // a 1-d convolution over [1, L]
    if (out.size() == 1) out.push_back(out[0]);
    return out;
  }

  Refit solve_convolution(const Op& op, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                          const at::Tensor& target) const {
    const bool flat = weight.dim() == 3;
    const auto image = [&](const at::Tensor& t) { return flat ? t.unsqueeze(2) : t; };
    const ConvolutionShape shape{.stride = pair_of(op, "stride", 1, flat),
                                 .padding = pair_of(op, "padding", 0, flat),
                                 .dilation = pair_of(op, "dilation", 1, flat),
                                 .groups = op.int_or("groups", 1)};
    return refit_convolution(image(x), image(weight), bias, image(target), shape, options_);
  }

  /// The op without its affine step gives the normalised values; channels are dim 1, or the dims of the weight.
  Refit solve_affine(const Layer& layer, const c10::OperatorHandle& handle, Stack stack,
                     const at::Tensor& weight, const at::Tensor& bias, const at::Tensor& target) const {
    const bool last = handle.schema().argumentIndexWithName("normalized_shape").has_value();
    stack[position(handle.schema(), layer.weight)] = c10::IValue();
    if (layer.has_bias()) stack[position(handle.schema(), layer.bias)] = c10::IValue();
    handle.callBoxed(&stack);
    const auto rows = [&](const at::Tensor& t) {
      const bool channels_last = last || t.dim() == 2;
      return (channels_last ? rows_of(t, output(layer)) : t.movedim(1, -1)).reshape({-1, weight.numel()});
    };
    return refit_affine(rows(stack.front().toTensor()), weight, bias, rows(target), options_);
  }

  void refit_recurrent_op(const Layer& layer, const Op& op, Stack& stack) {
    const Stack dense = beside_.take_arguments(layer.dense_op);
    std::vector<KeptParameter> kept;
    for (ValueId id : dense_.program.ops[layer.dense_op].tensors("params")) {
      const std::vector<graph::TermId>& dims = d_[id].dims;
      kept.push_back({.rows = graph::kept_indices(d_, dims[0], removal_),
                      .columns = dims.size() > 1 ? graph::kept_indices(d_, dims[1], removal_)
                                                 : std::vector<std::int64_t>{}});
    }
    const auto refit = refit_recurrent(op.base_name(), dense, stack, kept, options_);
    if (!refit) {
      report_.left.push_back(op.name + ": projections and unbatched inputs are not refitted");
      return;
    }
    report_.ops.push_back(
        {.op = layer.name, .parameter = layer.parameters[0], .before = refit->before, .after = refit->after});
    std::vector<at::Tensor> params;
    for (std::size_t i = 0; i < refit->parameters.size(); ++i)
      params.push_back(store(layer.parameters[i], refit->parameters[i]));
    stack[2] = params;
  }

  models::Model& pruned_;
  const models::Model& dense_;
  const graph::Dependencies& d_;
  const graph::Removal& removal_;
  RefitOptions options_;
  CalibrationSet own_;  ///< this process's samples
  SampleOrder order_;
  Inventory inventory_;
  std::map<std::string, Summand> summands_;  ///< by layer
  HeldValues others_;                        ///< of the pruned network
  Program dense_program_, pruned_program_;
  LockStep beside_;
  RepairReport report_;
  std::size_t seen_ = 0;  ///< layers done
};

/// Bytes of live activations a sample takes, at its worst moment.
std::int64_t bytes_per_sample(const Program& program, const graph::Dependencies& d) {
  std::int64_t batch = 1;
  for (const graph::Input* input : program.user_inputs())
    if (!input->constant && !program[input->value].shape.empty())
      batch = std::max<std::int64_t>(1, program[input->value].shape[0].hint);
  const graph::Cost cost = graph::CostModel(program, d).evaluate(graph::full_widths(d));
  return std::max<std::int64_t>(1, cost.peak_activation_bytes / batch);
}

constexpr std::pair<RepairMethod, std::string_view> kMethods[] = {
    {RepairMethod::LeastSquares, "least-squares"},
    {RepairMethod::BatchNorm, "batchnorm"},
    {RepairMethod::None, "none"}};

}  // namespace

std::optional<RepairMethod> repair_method_from_string(std::string_view name) {
  for (const auto& [method, text] : kMethods)
    if (text == name) return method;
  return std::nullopt;
}

std::string_view to_string(RepairMethod method) {
  for (const auto& [known, text] : kMethods)
    if (known == method) return text;
  return "none";
}

RepairReport repair(models::Model& pruned, const models::Model& dense, const graph::Dependencies& d,
                    const graph::Removal& removal, const CalibrationSet& calibration,
                    const RepairOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  const std::int64_t each =
      bytes_per_sample(dense.program, d) + bytes_per_sample(pruned.program, graph::analyse(pruned.program));
  const std::int64_t bound = std::max<std::int64_t>(1, options.memory_bytes / each);  // of one process
  const bool shared = SharedWork(calibration.job, calibration.samples()).split();
  const std::int64_t samples =
      std::min(calibration.samples(), shared ? bound * calibration.job->size() : bound);
  const CalibrationSet used = samples_between(calibration, 0, samples);
  RepairReport report;
  if (options.method == RepairMethod::LeastSquares)
    report = Repairer(pruned, dense, d, removal, used, options).report();
  else if (options.method == RepairMethod::BatchNorm)
    report = reestimate_batch_norms(pruned, used);
  report.method = options.method;
  report.samples = samples;
  report.given = calibration.samples();
  const SharedWork work(calibration.job, samples);
  report.activation_bytes = (work.end() - work.begin()) * each;
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace pollard::pruning
