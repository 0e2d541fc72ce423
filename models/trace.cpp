// SPDX-License-Identifier: Apache-2.0
#include "models/trace.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/grad_mode.h>
#include <ATen/record_function.h>

#include <algorithm>
#include <cctype>
#include <exception>
#include <set>
#include <unordered_map>

#include "graph/error.h"
#include "models/trace_arguments.h"

namespace pollard::models {
namespace {

using graph::Arg;
using graph::Input;
using graph::Op;
using graph::Value;
using graph::ValueId;

std::string target_of(const c10::OperatorName& name) {
  std::string target = name.name;
  target.replace(target.find("::"), 2, ".");
  return target + "." + (name.overload_name.empty() ? "default" : name.overload_name);
}

/// "encoder.layer.0.output.dense.weight" -> "p_encoder_layer_0_output_dense_weight", torch.export's spelling.
std::string placeholder_name(char kind, const std::string& source) {
  std::string name{kind, '_'};
  for (const char c : source) {
    const auto u = static_cast<unsigned char>(c);
    name += std::isalnum(u) ? static_cast<char>(std::tolower(u)) : '_';
  }
  return name;
}

class Tracer {
 public:
  Tracer(Network& network, const std::vector<at::Tensor>& inputs, const std::vector<std::string>& names) {
    for (const Input::Kind kind : {Input::Kind::Parameter, Input::Kind::Buffer})
      for (const auto& entry : network.entries())
        if (entry.is_parameter() == (kind == Input::Kind::Parameter)) add_state(entry, kind);
    constants_at_ = program_.inputs.size();
    POLLARD_CHECK(inputs.size() == names.size(), "an example for each input");
    for (std::size_t i = 0; i < inputs.size(); ++i)
      program_.inputs.push_back({.value = bind(inputs[i], unique(names[i])), .kind = Input::Kind::User});
  }

  void start(const at::RecordFunction& call) {
    if (depth_++ > 0) return;
    arguments_.assign(call.inputs().begin(), call.inputs().end());
  }

  /// Exceptions may not leave a RecordFunction callback: the first is kept for finish().
  void end(const at::RecordFunction& call) {
    if (--depth_ > 0 || failure_) return;
    try {
      record(*call.operator_name(), call.outputs());
    } catch (...) {
      failure_ = std::current_exception();
    }
    arguments_.clear();
  }

  Trace finish(const Result& result) {
    if (failure_) std::rethrow_exception(failure_);
    for (const auto& [name, tensor] : result.items())
      program_.outputs.push_back({.value = value_of(tensor, "the output")});
    return {std::move(program_), std::move(constants_), result};
  }

 private:
  void add_state(const Module::Entry& entry, Input::Kind kind) {
    const std::string name = unique(placeholder_name(kind == Input::Kind::Parameter ? 'p' : 'b', entry.key));
    const ValueId value =
        entry.tied_to.empty() ? bind(entry.tensor(), name) : add_value(entry.tensor(), name);
    program_[value].requires_grad = kind == Input::Kind::Parameter && entry.tensor().is_floating_point();
    program_.inputs.push_back({.value = value,
                               .kind = kind,
                               .source = entry.key,
                               .persistent = entry.slot->persistent,
                               .tied_to = entry.tied_to});
    const auto dot = entry.key.rfind('.');
    if (dot != std::string::npos) module_of_[value.index] = entry.key.substr(0, dot);
  }

  ValueId add_value(const at::Tensor& t, std::string name) {
    Value value{.name = std::move(name), .dtype = kernels::from_scalar_type(t.scalar_type())};
    for (const std::int64_t size : t.sizes()) value.shape.push_back({.hint = size});
    if (!t.is_contiguous()) value.strides = t.strides().vec();
    alive_.push_back(t);
    return program_.add(std::move(value));
  }

  ValueId bind(const at::Tensor& t, std::string name) {
    const ValueId id = add_value(t, std::move(name));
    ids_[t.unsafeGetTensorImpl()] = id;
    return id;
  }

  /// A tensor nobody recorded, or whose memory only unrecorded code wrote (at::tensor({...})), is a constant of
  /// the network when it has contents.
  ValueId value_of(const at::Tensor& t, const std::string& reader) {
    const auto found = ids_.find(t.unsafeGetTensorImpl());
    const void* storage = storage_of(t);
    const bool fresh = unwritten_.contains(storage) && !viewed_.contains(storage);
    if (found != ids_.end() && !fresh) return found->second;
    POLLARD_CHECK(!t.is_meta(), reader + " reads a tensor that no recorded op made");
    const std::string source = "lifted_tensor_" + std::to_string(constants_.size());
    constants_.emplace(source, t);
    const ValueId id = bind(t, unique("c_" + source));
    const auto at = program_.inputs.begin() + static_cast<std::ptrdiff_t>(constants_at_++);
    program_.inputs.insert(at, {.value = id, .kind = Input::Kind::Constant, .source = source});
    return id;
  }

  void record(const c10::OperatorName& name, const std::vector<c10::IValue>& results) {
    const auto handle = c10::Dispatcher::singleton().findSchema(name);
    POLLARD_CHECK(handle.has_value(), name.name);
    const auto& schema = handle->schema();
    POLLARD_CHECK(schema.arguments().size() == arguments_.size(), name.name);
    Op op{.target = target_of(name)};
    op.name = unique(std::string(op.base_name()));
    const std::vector<at::Tensor> made = flatten(results, op);
    note_views(made);
    for (std::size_t i = 0; i < arguments_.size(); ++i) {
      const auto& argument = schema.arguments()[i];
      if (argument.alias_info() && argument.alias_info()->isWrite()) note_write(arguments_[i]);
      op.args.push_back({.name = argument.name(), .arg = convert(arguments_[i], argument, op)});
    }
    op.module = module_of(op);
    for (const at::Tensor& t : made) add_result(t, made.size() == 1 ? op.name : unique("getitem"), op);
    if (op.base_name().find("empty") != std::string_view::npos)
      for (const at::Tensor& t : made) unwritten_.insert(storage_of(t));
    program_.ops.push_back(std::move(op));
  }

  static const void* storage_of(const at::Tensor& t) { return t.storage().unsafeGetStorageImpl(); }

  void note_write(const c10::IValue& argument) {
    if (argument.isTensor() && argument.toTensor().defined())
      unwritten_.erase(storage_of(argument.toTensor()));
  }

  /// A view of fresh memory does not read it.
  void note_views(const std::vector<at::Tensor>& made) {
    viewed_.clear();
    for (const at::Tensor& t : made)
      if (t.defined()) viewed_.insert(storage_of(t));
  }

  Arg convert(const c10::IValue& value, const c10::Argument& argument, const Op& op) {
    try {
      return to_arg(value, argument, [&](const at::Tensor& t) -> Arg { return value_of(t, op.target); });
    } catch (const std::domain_error& error) {
      refuse(op, std::string("argument ") + argument.name() + " is " + error.what());
    }
  }

  static std::vector<at::Tensor> flatten(const std::vector<c10::IValue>& results, const Op& op) {
    std::vector<at::Tensor> out;
    for (const c10::IValue& result : results)
      if (result.isTensorList()) {
        for (const at::Tensor& t : result.toTensorVector()) out.push_back(t);
      } else if (result.isTensor()) {
        out.push_back(result.toTensor());
      } else {
        refuse(op, "takes a number out of a tensor, so what runs next may depend on the data");
      }
    return out;
  }

  void add_result(const at::Tensor& t, std::string name, Op& op) {
    const ValueId id = t.defined() ? bind(t, std::move(name))
                                   : program_.add({.name = std::move(name), .kind = Value::Kind::None});
    op.outputs.push_back(id);
  }

  /// The module whose parameter the op reads, "" when it reads none.
  std::string module_of(const Op& op) const {
    for (const graph::NamedArg& named : op.args)
      for (const ValueId id : graph::values_in(named.arg))
        if (const auto found = module_of_.find(id.index); found != module_of_.end()) return found->second;
    return {};
  }

  [[noreturn]] static void refuse(const Op& op, const std::string& message) {
    throw UserError({.code = "E0413",
                     .exit = Exit::Unsupported,
                     .subject = op.target,
                     .message = message,
                     .where = "node '" + op.name + "'",
                     .why = "a program is one fixed list of ops",
                     .help = {}});
  }

  std::string unique(const std::string& name) {
    const int count = used_[name]++;
    return count == 0 ? name : unique(name + "_" + std::to_string(count));
  }

  graph::Program program_;
  kernels::Weights constants_;
  std::vector<at::Tensor> alive_;  // a freed tensor's address could be given to another one
  std::unordered_map<const c10::TensorImpl*, ValueId> ids_;
  std::unordered_map<std::int32_t, std::string> module_of_;
  std::set<const void*> unwritten_;  // storages that recorded ops made but did not write to
  std::set<const void*> viewed_;     // storages the op being recorded gives back
  std::unordered_map<std::string, int> used_;
  std::size_t constants_at_ = 0;
  int depth_ = 0;
  std::vector<c10::IValue> arguments_;
  std::exception_ptr failure_;
};

thread_local Tracer* active_tracer = nullptr;

/// Hears every dispatcher call of this thread.
class Listening {
 public:
  explicit Listening(Tracer& tracer) {
    active_tracer = &tracer;
    const auto start = [](const at::RecordFunction& call) -> std::unique_ptr<at::ObserverContext> {
      active_tracer->start(call);
      return nullptr;
    };
    const auto end = [](const at::RecordFunction& call, at::ObserverContext*) { active_tracer->end(call); };
    handle_ = at::addThreadLocalCallback(at::RecordFunctionCallback(start, end)
                                             .needsInputs(true)
                                             .needsOutputs(true)
                                             .scopes({at::RecordScope::FUNCTION}));
  }
  ~Listening() {
    at::removeCallback(handle_);
    active_tracer = nullptr;
  }
  Listening(const Listening&) = delete;
  Listening& operator=(const Listening&) = delete;

 private:
  at::CallbackHandle handle_ = 0;
};

}  // namespace

Trace trace(Network& network, const std::vector<at::Tensor>& inputs,
            const std::vector<std::string>& input_names) {
  const at::NoGradGuard no_grad;
  Tracer tracer(network, inputs, input_names);
  std::optional<Result> result;
  {
    const Listening listening(tracer);
    result = network.forward(inputs);
  }
  return tracer.finish(*result);
}

}  // namespace pollard::models
