// SPDX-License-Identifier: Apache-2.0
#include "kernels/executor.h"

#include <ATen/core/LegacyTypeDispatch.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/GradMode.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <chrono>
#include <set>
#include <stdexcept>

#include "graph/error.h"
#include "kernels/aliases.h"
#include "kernels/op_call.h"
#include "kernels/out_of_memory.h"
#include "kernels/run_memory.h"

namespace pollard::kernels {
namespace {

using graph::ValueId;

std::size_t index(ValueId id) { return static_cast<std::size_t>(id.index); }

/// No graph is built and no view is tracked; unlike inference mode the results stay ordinary tensors, so they may
/// serve as targets of a loss later.
class GradScope {
 public:
  explicit GradScope(bool autograd) : mode_(autograd) {
    if (!autograd) below_.emplace();
  }

 private:
  c10::AutoGradMode mode_;
  std::optional<at::AutoDispatchBelowADInplaceOrView> below_;
};

at::Tensor converted(const at::Tensor& tensor, std::optional<at::ScalarType> type, at::Device device) {
  at::ScalarType target = tensor.scalar_type();
  if (type && at::isFloatingType(target)) target = *type;
  if (type && at::isComplexType(target)) target = at::toComplexType(*type);
  return tensor.to(tensor.options().device(device).dtype(target));
}

void synchronize(at::Device device) {
  if (device.is_cpu()) return;
  const c10::impl::VirtualGuardImpl guard(device.type());
  guard.synchronizeDevice(device.has_index() ? device.index() : guard.getDevice().index());
}

[[noreturn]] void fail(const graph::Op& op, std::string code, Exit exit, std::string why) {
  why = why.substr(0, why.find('\n'));
  throw UserError(
      {.code = std::move(code),
       .exit = exit,
       .subject = op.target,
       .message = "the op failed: " + why,
       .where = "node '" + op.name + "'" + (op.module.empty() ? "" : " in module '" + op.module + "'")});
}

struct Schedule {
  std::vector<std::vector<std::size_t>> load_before;  ///< per op: inputs first read there
  std::vector<std::vector<ValueId>> free_after;       ///< per op: values nobody reads later
  std::vector<std::size_t> load_at_end;               ///< inputs only the outputs mention
};

Schedule make_schedule(const graph::Program& program) {
  const std::size_t count = program.ops.size();
  constexpr std::size_t kNever = static_cast<std::size_t>(-1);
  std::vector<std::size_t> first(program.values.size(), kNever), last(program.values.size(), kNever);
  std::vector<bool> kept(program.values.size(), false);
  for (std::size_t i = 0; i < count; ++i) {
    const auto use = [&](ValueId id) {
      if (first[index(id)] == kNever) first[index(id)] = i;
      last[index(id)] = i;
    };
    for (const graph::NamedArg& named : program.ops[i].args)
      for (ValueId id : graph::values_in(named.arg)) use(id);
    for (ValueId id : program.ops[i].outputs) use(id);
  }
  for (const graph::Output& output : program.outputs)
    for (ValueId id : graph::values_in(output.value)) kept[index(id)] = true;
  Schedule schedule;
  schedule.load_before.resize(count);
  schedule.free_after.resize(count);
  for (std::size_t i = 0; i < program.inputs.size(); ++i) {
    if (program.inputs[i].constant) continue;
    const std::size_t id = index(program.inputs[i].value);
    if (first[id] != kNever)
      schedule.load_before[first[id]].push_back(i);
    else if (kept[id])
      schedule.load_at_end.push_back(i);
  }
  for (std::size_t id = 0; id < last.size(); ++id)
    if (last[id] != kNever && !kept[id])
      schedule.free_after[last[id]].push_back({static_cast<std::int32_t>(id)});
  return schedule;
}

}  // namespace

struct Executor::Impl {
  explicit Impl(graph::Program p) : program(std::move(p)) {
    graph::check(program);
    calls.reserve(program.ops.size());
    for (const graph::Op& op : program.ops) calls.emplace_back(op, program);
    written_eval = written_inputs(program, calls, false);
    written_train = written_inputs(program, calls, true);
    schedule = make_schedule(program);
    std::size_t next = 0;
    for (const graph::Input& input : program.inputs) {
      const bool tensor = input.kind == graph::Input::Kind::User && !input.constant &&
                          program[input.value].kind == graph::Value::Kind::Tensor;
      user_position.push_back(tensor ? next++ : static_cast<std::size_t>(-1));
      if (!input.tied_to.empty()) tied.insert({input.source, input.tied_to});
    }
    user_tensors = next;
  }

  const std::vector<bool>& written(bool train) const { return train ? written_train : written_eval; }

  graph::Program program;
  std::vector<OpCall> calls;
  std::vector<bool> written_eval, written_train;
  Schedule schedule;
  std::vector<std::size_t> user_position;  ///< per program input: its place among the caller's tensors
  std::size_t user_tensors = 0;
  std::set<std::string> tied;  ///< sources whose storage has several names
  std::vector<OpTime> times;
  RunMemory memory;
};

namespace {

/// One run: the values alive and where inputs come from.
class Run {
 public:
  Run(const Executor& executor, const Weights& weights, const std::vector<at::Tensor>& inputs,
      const RunOptions& options)
      : program_(executor.program()),
        weights_(weights),
        inputs_(inputs),
        options_(options),
        call_options_{options.compute_type, options.device, options.train},
        slots_(program_.values.size()) {}

  /// `shared`: other inputs have the same storage.
  void load(std::size_t input_index, std::size_t user_position, bool written, bool shared) {
    const graph::Input& input = program_.inputs[input_index];
    c10::IValue& slot = slots_[index(input.value)];
    if (program_[input.value].kind != graph::Value::Kind::Tensor) {
      slot = program_[input.value].scalar.hint;  // a size given as an input: only its example is known
      return;
    }
    if (input.kind == graph::Input::Kind::User) {
      slot = ready(inputs_[user_position], written);
      return;
    }
    slot = shared ? shared_weight(input, written) : ready(weight(input.source), written);
    if (written && options_.mutated) (*options_.mutated)[input.source] = slot.toTensor();
  }

  void execute(const OpCall& call, std::size_t op_index) {
    try {
      Stack stack = call.arguments(slots_, call_options_);
      const bool done = options_.before_op && options_.before_op(call.op(), op_index, stack);
      if (!done) call.call(stack);
      call.store(std::move(stack), slots_, call_options_);
    } catch (const c10::Error& error) {
      const bool memory = is_out_of_memory(error);
      fail(call.op(), memory ? "E0504" : "E0412", memory ? Exit::Environment : Exit::Unsupported,
           error.what_without_backtrace());
    } catch (const std::domain_error& error) {
      fail(call.op(), "E0412", Exit::Unsupported, error.what());
    }
    if (!options_.after_value) return;
    for (ValueId id : call.op().outputs) {
      c10::IValue& slot = slots_[index(id)];
      if (!slot.isTensor() || !slot.toTensor().defined()) continue;
      at::Tensor tensor = slot.toTensor();
      options_.after_value(id, tensor);
      slot = std::move(tensor);
    }
  }

  void free(const std::vector<ValueId>& ids) {
    for (ValueId id : ids) slots_[index(id)] = c10::IValue();
  }

  std::vector<at::Tensor> results() const {
    std::vector<at::Tensor> out;
    for (const graph::Output& output : program_.outputs) {
      const auto* id = output.value.as<ValueId>();
      if (!id || !slots_[index(*id)].isTensor()) continue;
      const at::Tensor& tensor = slots_[index(*id)].toTensor();
      if (output.kind == graph::Output::Kind::User || output.kind == graph::Output::Kind::LossOutput)
        out.push_back(tensor);
      else if (output.kind == graph::Output::Kind::BufferMutation && options_.mutated)
        (*options_.mutated)[output.target] = tensor;
    }
    return out;
  }

 private:
  const at::Tensor& weight(const std::string& source) const {
    const auto found = weights_.find(source);
    POLLARD_CHECK(found != weights_.end(), "no weight named " + source);
    return found->second;
  }

  at::Tensor shared_weight(const graph::Input& input, bool written) {
    const std::string& owner = input.tied_to.empty() ? input.source : input.tied_to;
    auto [entry, fresh] = tied_.try_emplace(owner);
    if (fresh) entry->second = ready(weight(input.source), written);
    return entry->second;
  }

  at::Tensor ready(const at::Tensor& given, bool written) const {
    at::Tensor tensor = converted(given, options_.compute_type, options_.device);
    return written && tensor.is_alias_of(given) ? tensor.clone() : tensor;
  }

  const graph::Program& program_;
  const Weights& weights_;
  const std::vector<at::Tensor>& inputs_;
  const RunOptions& options_;
  CallOptions call_options_;
  Slots slots_;
  std::map<std::string, at::Tensor> tied_;  ///< converted once, shared by every name of one tensor
};

void check_inputs(const graph::Program& program, std::size_t expected,
                  const std::vector<at::Tensor>& inputs) {
  const auto refuse = [](const std::string& message) {
    throw UserError({.code = "E0203", .exit = Exit::Usage, .subject = "inputs", .message = message});
  };
  if (inputs.size() != expected)
    refuse("the model takes " + std::to_string(expected) + " tensors, got " + std::to_string(inputs.size()));
  std::size_t next = 0;
  for (const graph::Input* input : program.user_inputs()) {
    if (input->constant || program[input->value].kind != graph::Value::Kind::Tensor) continue;
    const graph::Value& value = program[input->value];
    const at::Tensor& tensor = inputs[next++];
    if (!tensor.defined() || tensor.dim() != static_cast<std::int64_t>(value.shape.size()))
      refuse("input '" + value.name + "' has " + std::to_string(value.shape.size()) + " dimensions, got " +
             (tensor.defined() ? std::to_string(tensor.dim()) : "no tensor"));
  }
}

}  // namespace

Executor::Executor(graph::Program program) : impl_(std::make_unique<Impl>(std::move(program))) {}
Executor::~Executor() = default;
Executor::Executor(Executor&&) noexcept = default;
Executor& Executor::operator=(Executor&&) noexcept = default;

const graph::Program& Executor::program() const { return impl_->program; }
const std::vector<Executor::OpTime>& Executor::timings() const { return impl_->times; }

std::vector<at::Tensor> Executor::run(const Weights& weights, const std::vector<at::Tensor>& inputs,
                                      const RunOptions& options) const {
  using Clock = std::chrono::steady_clock;
  check_inputs(program(), impl_->user_tensors, inputs);
  const GradScope grad(options.autograd);
  const c10::OptionalDeviceGuard device(options.device);
  const RunMemory::Scope memory(impl_->memory);
  const std::vector<bool>& written = impl_->written(options.train);
  Run run(*this, weights, inputs, options);
  const auto load = [&](std::size_t i) {
    run.load(i, impl_->user_position[i], written[i], impl_->tied.contains(program().inputs[i].source));
  };
  if (options.time_ops) impl_->times.clear();
  for (std::size_t i = 0; i < impl_->calls.size(); ++i) {
    for (std::size_t input : impl_->schedule.load_before[i]) load(input);
    if (options.time_ops) synchronize(options.device);
    const auto start = Clock::now();
    run.execute(impl_->calls[i], i);
    if (options.time_ops) {
      synchronize(options.device);
      impl_->times.push_back({i, std::chrono::duration<double>(Clock::now() - start).count()});
    }
    run.free(impl_->schedule.free_after[i]);
  }
  for (std::size_t input : impl_->schedule.load_at_end) load(input);
  return run.results();
}

Weights convert(const Weights& weights, std::optional<at::ScalarType> type, at::Device device) {
  std::map<const void*, at::Tensor> done;
  Weights out;
  for (const auto& [name, tensor] : weights) {
    auto [entry, fresh] = done.try_emplace(tensor.unsafeGetTensorImpl());
    if (fresh) entry->second = converted(tensor, type, device);
    out[name] = entry->second;
  }
  return out;
}

}  // namespace pollard::kernels
