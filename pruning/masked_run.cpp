// SPDX-License-Identifier: Apache-2.0
// The masked original: full-size program, removed slabs zeroed, reductions over kept units where defined so.
#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>

#include "graph/error.h"
#include "pruning/verify.h"

namespace pollard::pruning {
namespace {

using graph::Dependencies;
using graph::Program;
using graph::Removal;
using graph::Renormalisation;

at::Tensor index_tensor(const std::vector<std::int64_t>& indices) {
  return at::tensor(indices, at::TensorOptions().dtype(at::kLong));
}

/// 1 at kept positions of a dimension, 0 at removed ones, shaped to broadcast along `dim` of `rank`.
at::Tensor keep_mask(const Dependencies& d, graph::TermId term, const Removal& removal, std::int64_t dim,
                     std::int64_t rank) {
  at::Tensor mask = at::zeros({d.terms.size(term)}, at::kBool);
  mask.index_fill_(0, index_tensor(graph::kept_indices(d, term, removal)), true);
  std::vector<std::int64_t> shape(static_cast<std::size_t>(rank), 1);
  shape[static_cast<std::size_t>(dim)] = -1;
  return mask.view(shape);
}

/// An op of a damaged file may compute another shape than the file says: all that is known of units would be wrong.
void require_shape(const graph::Value& value, const at::Tensor& tensor) {
  bool same = tensor.dim() == std::ssize(value.shape);
  for (std::size_t d = 0; same && d < value.shape.size(); ++d)
    same = value.shape[d].symbolic() || value.shape[d].hint == tensor.size(static_cast<std::int64_t>(d));
  if (same) return;
  throw UserError({.code = "E0312",
                   .exit = Exit::BadFile,
                   .subject = "%" + value.name,
                   .message = "has the shape " + c10::str(tensor.sizes()) +
                              " when it is computed, but the file says " + to_string(value),
                   .why = "no torch.export archive looks like this; the file was damaged or edited",
                   .help = "export the network again"});
}

}  // namespace

at::Tensor zero_removed(const Dependencies& d, graph::ValueId value, const Removal& removal,
                        at::Tensor tensor) {
  const std::vector<graph::TermId>& dims = d[value].dims;
  for (std::size_t dim = 0; dim < dims.size(); ++dim)
    if (graph::touched(d, dims[dim], removal))
      tensor = at::where(keep_mask(d, dims[dim], removal, static_cast<std::int64_t>(dim), tensor.dim()),
                         tensor, at::zeros({}, tensor.options()));
  return tensor;
}

namespace {

bool touched_value(const Dependencies& d, graph::ValueId value, const Removal& removal) {
  return std::ranges::any_of(d[value].dims,
                             [&](graph::TermId term) { return graph::touched(d, term, removal); });
}

/// Values computed from stored tensors alone: a weight norm of a removed row is 0/0, and the row is zero by definition.
std::vector<bool> computed_from_weights(const Program& program) {
  std::vector<bool> from(program.values.size(), false);
  for (const graph::Input& input : program.inputs)
    if (!input.constant && input.kind != graph::Input::Kind::User)
      from[static_cast<std::size_t>(input.value.index)] = true;
  std::vector<bool> out(program.values.size(), false);
  for (const graph::Op& op : program.ops) {
    bool all = true, any = false;
    for (const graph::NamedArg& named : op.args)
      for (graph::ValueId id : graph::values_in(named.arg)) {
        any = true;
        all = all && from[static_cast<std::size_t>(id.index)];
      }
    all = all && any;
    for (graph::ValueId id : op.outputs)
      from[static_cast<std::size_t>(id.index)] = out[static_cast<std::size_t>(id.index)] = all;
  }
  return out;
}

/// Ops that may make 0/0 or 1/0 of a removed unit, whatever a later op would make of that.
bool may_be_undefined(std::string_view name) {
  static const std::set<std::string_view> kNames{"div", "div_", "reciprocal", "rsqrt",
                                                 "log", "pow",  "true_divide"};
  return kNames.contains(name);
}

std::size_t argument_index(const c10::FunctionSchema& schema, std::string_view name) {
  const auto index = schema.argumentIndexWithName(name);
  POLLARD_CHECK(index, schema.name() + " has no argument " + std::string(name));
  return static_cast<std::size_t>(*index);
}

c10::OperatorHandle find_operator(std::string_view target) {
  const auto first = target.find('.'), second = target.find('.', first + 1);
  std::string name =
      std::string(target.substr(0, first)) + "::" + std::string(target.substr(first + 1, second - first - 1));
  std::string overload(target.substr(second + 1));
  if (overload == "default") overload.clear();
  return c10::Dispatcher::singleton().findSchemaOrThrow(name.c_str(), overload.c_str());
}

/// All renormalisations of one op that the removal touches.
struct Reduction {
  std::vector<const Renormalisation*> gathered, masked;
};

class MaskedHook {
 public:
  MaskedHook(const Program& program, const Dependencies& d, const Removal& removal)
      : program_(program), d_(d), removal_(removal), from_weights_(computed_from_weights(program)) {
    for (const Renormalisation& r : d.renormalisations)
      if (graph::touched(d, r.term, removal))
        (r.how == Renormalisation::How::Gather ? reductions_[r.op].gathered : reductions_[r.op].masked)
            .push_back(&r);
    for (const graph::Op& op : program.ops) {
      if (may_be_undefined(op.base_name())) undefined_.insert(op.outputs.begin(), op.outputs.end());
      for (const graph::NamedArg& named : op.args)
        for (graph::ValueId id : graph::values_in(named.arg)) read_.insert(id);
    }
  }

  bool before(const graph::Op& op, std::size_t index, std::vector<c10::IValue>& stack) const {
    const auto found = reductions_.find(static_cast<std::int32_t>(index));
    if (found == reductions_.end()) return false;
    const c10::OperatorHandle handle = find_operator(op.target);
    for (const Renormalisation* r : found->second.masked) {
      c10::IValue& slot = stack[argument_index(handle.schema(), r->argument)];
      slot = zero_removed(d_, *op.tensor(r->argument), removal_, slot.toTensor());
    }
    if (found->second.gathered.empty()) return false;
    run_on_kept(op, index, handle, found->second.gathered, stack);
    return true;
  }

  void after(graph::ValueId value, at::Tensor& tensor) const {
    if (read_.contains(value)) require_shape(program_[value], tensor);
    const bool stored = from_weights_[static_cast<std::size_t>(value.index)];
    if (!stored && !undefined_.contains(value)) return;
    if (!tensor.is_floating_point() || !touched_value(d_, value, removal_)) return;
    if (stored)
      tensor = zero_removed(d_, value, removal_, tensor);
    else
      tensor = at::where(tensor.isfinite(), tensor, zero_removed(d_, value, removal_, tensor));
  }

 private:
  std::vector<std::int64_t> kept(graph::ValueId value, std::int64_t dim) const {
    return graph::kept_indices(d_, d_[value].dims[static_cast<std::size_t>(dim)], removal_);
  }

  // Gathers the reduced dims of the operand and of the affine parameters, runs the op, and for norms puts the
  // result back among zeros.
  void run_on_kept(const graph::Op& op, std::size_t index, const c10::OperatorHandle& handle,
                   const std::vector<const Renormalisation*>& dims, std::vector<c10::IValue>& stack) const {
    const graph::ValueId operand = *op.tensor(dims.front()->argument);
    c10::IValue& slot = stack[argument_index(handle.schema(), dims.front()->argument)];
    const at::Tensor full = slot.toTensor();
    at::Tensor gathered = full;
    for (const Renormalisation* r : dims)
      gathered = gathered.index_select(r->dim, index_tensor(kept(operand, r->dim)));
    slot = gathered;
    const bool resized = handle.schema().argumentIndexWithName("normalized_shape") ||
                         handle.schema().argumentIndexWithName("num_groups");
    const bool keeps_shape = resized || handle.schema().argumentIndexWithName("running_mean");
    if (resized) shrink_norm_arguments(op, index, handle.schema(), full.dim(), gathered, operand, stack);
    handle.callBoxed(&stack);
    if (!keeps_shape) return;
    at::Tensor out = stack.front().toTensor();
    for (const Renormalisation* r : dims) {
      std::vector<std::int64_t> shape = out.sizes().vec();
      shape[static_cast<std::size_t>(r->dim)] = full.size(r->dim);
      out = at::zeros(shape, out.options()).index_copy(r->dim, index_tensor(kept(operand, r->dim)), out);
    }
    stack.front() = out;
  }

  void shrink_norm_arguments(const graph::Op& op, std::size_t index, const c10::FunctionSchema& schema,
                             std::int64_t rank, const at::Tensor& gathered, graph::ValueId operand,
                             std::vector<c10::IValue>& stack) const {
    const auto shape = schema.argumentIndexWithName("normalized_shape");
    const std::int64_t offset =
        shape ? rank - static_cast<std::int64_t>(op.find("normalized_shape")->as<graph::Arg::List>()->size())
              : 1;
    if (shape)
      stack[static_cast<std::size_t>(*shape)] =
          gathered.sizes().slice(static_cast<std::size_t>(offset)).vec();
    else
      stack[argument_index(schema, "num_groups")] = new_groups(index);
    for (const char* name : {"weight", "bias"}) {
      const auto at = schema.argumentIndexWithName(name);
      if (!at || !stack[static_cast<std::size_t>(*at)].isTensor()) continue;
      at::Tensor parameter = stack[static_cast<std::size_t>(*at)].toTensor();
      for (std::int64_t d = 0; d < parameter.dim(); ++d)
        parameter = parameter.index_select(d, index_tensor(kept(operand, offset + d)));
      stack[static_cast<std::size_t>(*at)] = parameter;
    }
  }

  std::int64_t new_groups(std::size_t op) const {
    return graph::size_at(d_, d_.op_terms.at({static_cast<std::int32_t>(op), "groups"}), removal_.widths(d_));
  }

  const Program& program_;
  const Dependencies& d_;
  const Removal& removal_;
  std::vector<bool> from_weights_;
  std::map<std::int32_t, Reduction> reductions_;
  std::set<graph::ValueId> undefined_;
  std::set<graph::ValueId>
      read_;  ///< by an op; LibTorch leaves empty what some ops would only tell their gradient
};

/// Inputs some batch norm reads as its running variance: zero there would not mean "nothing" but a division.
std::set<graph::ValueId> running_variances(const Program& program) {
  std::set<graph::ValueId> out;
  for (const graph::Op& op : program.ops)
    if (const auto id = op.tensor("running_var")) out.insert(*id);
  return out;
}

}  // namespace

kernels::Weights masked_weights(const models::Model& model, const Dependencies& d, const Removal& removal) {
  kernels::Weights out = model.weights;
  const std::set<graph::ValueId> variances = running_variances(model.program);
  for (const graph::Input& input : model.program.inputs) {
    if (input.constant || input.kind == graph::Input::Kind::User || variances.contains(input.value)) continue;
    if (!input.tied_to.empty())
      out[input.source] = out.at(input.tied_to);
    else if (touched_value(d, input.value, removal))
      out[input.source] = zero_removed(d, input.value, removal, out.at(input.source).detach());
  }
  return out;
}

kernels::RunOptions masked_run_options(const Program& program, const Dependencies& d,
                                       const Removal& removal) {
  const auto hook = std::make_shared<const MaskedHook>(program, d, removal);
  kernels::RunOptions options;
  options.before_op = [hook](const graph::Op& op, std::size_t index, std::vector<c10::IValue>& stack) {
    return hook->before(op, index, stack);
  };
  options.after_value = [hook](graph::ValueId value, at::Tensor& tensor) { hook->after(value, tensor); };
  return options;
}

std::vector<at::Tensor> run_masked(const kernels::Executor& dense, const Dependencies& d,
                                   const Removal& removal, const kernels::Weights& masked,
                                   const std::vector<at::Tensor>& inputs, at::ScalarType compute_type) {
  kernels::RunOptions options = masked_run_options(dense.program(), d, removal);
  options.compute_type = compute_type;
  return dense.run(masked, inputs, options);
}

}  // namespace pollard::pruning
