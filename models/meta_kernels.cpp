// SPDX-License-Identifier: Apache-2.0
#include "models/meta_kernels.h"

#include <ATen/ExpandUtils.h>
#include <ATen/Parallel.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/empty_strided.h>
#include <ATen/ops/result_type.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include <algorithm>
#include <vector>

namespace pollard::models {
namespace {

/// Larger arguments are stood for by one zero expanded, which takes no memory: embedding tables of language models.
constexpr std::int64_t kLargestZeros = std::int64_t{1} << 22;  // elements

at::Tensor cpu_zeros(const at::Tensor& meta) {
  const auto options = meta.options().device(at::kCPU);
  if (meta.numel() > kLargestZeros) return at::zeros({}, options).expand(meta.sizes());
  return at::empty_strided(meta.sizes(), meta.strides(), options).zero_();
}

at::Tensor to_memory(const at::Tensor& meta) {
  return at::empty_strided(meta.sizes(), meta.strides(), meta.options().device(at::kCPU)).zero_();
}

at::Tensor to_meta(const at::Tensor& t) {
  return t.defined() ? at::empty_strided(t.sizes(), t.strides(), t.options().device(at::kMeta)) : t;
}

bool is_meta(const at::Tensor& t) { return t.defined() && t.is_meta(); }

template <class Change>
c10::IValue change_tensors(const c10::IValue& value, Change change) {
  if (value.isTensor()) return change(value.toTensor());
  if (value.isTensorList()) {
    c10::List<at::Tensor> out;
    for (const at::Tensor& t : value.toTensorVector()) out.push_back(change(t));
    return out;
  }
  if (value.isOptionalTensorList()) {
    c10::List<std::optional<at::Tensor>> out;
    for (const std::optional<at::Tensor>& t : value.toOptionalTensorVector())
      out.push_back(t ? std::optional(change(*t)) : std::nullopt);
    return out;
  }
  return value;
}

c10::IValue to_cpu_argument(const c10::IValue& value) {
  if (value.isDevice() && value.toDevice().is_meta()) return at::Device(at::kCPU);
  return change_tensors(value, [](const at::Tensor& t) { return is_meta(t) ? cpu_zeros(t) : t; });
}

/// In-place and out= results are the argument itself, resized where the op chose its shape.
c10::IValue to_meta_result(const c10::FunctionSchema& schema, std::size_t i, const c10::IValue& result,
                           const std::vector<c10::IValue>& arguments) {
  const c10::AliasInfo* written = schema.returns()[i].alias_info();
  if (written && written->isWrite())
    for (std::size_t a = 0; a < arguments.size(); ++a) {
      const c10::AliasInfo* alias = schema.arguments()[a].alias_info();
      if (!alias || alias->beforeSets() != written->beforeSets() || !arguments[a].isTensor()) continue;
      const at::Tensor& target = arguments[a].toTensor();
      if (target.sizes() != result.toTensor().sizes()) target.resize_(result.toTensor().sizes());
      return target;
    }
  return change_tensors(result, to_meta);
}

/// One number stands for every dimension.
std::int64_t of(at::IntArrayRef list, std::size_t dim) { return list.size() == 1 ? list[0] : list.at(dim); }

void run_on_cpu(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const std::size_t count = op.schema().arguments().size();
  const std::vector<c10::IValue> arguments(stack->end() - static_cast<std::ptrdiff_t>(count), stack->end());
  stack->resize(stack->size() - count);
  torch::jit::Stack inner;
  for (std::size_t i = 0; i < count; ++i) {
    // What is written to needs memory of its own, however large: attention at a DINOv2's resolution.
    const c10::AliasInfo* alias = op.schema().arguments()[i].alias_info();
    const bool written =
        alias && alias->isWrite() && arguments[i].isTensor() && is_meta(arguments[i].toTensor());
    inner.push_back(written ? c10::IValue(to_memory(arguments[i].toTensor()))
                            : to_cpu_argument(arguments[i]));
  }
  op.callBoxed(&inner);
  for (std::size_t i = 0; i < inner.size(); ++i)
    stack->push_back(to_meta_result(op.schema(), i, inner[i], arguments));
}

at::Tensor convolution(const at::Tensor& input, const at::Tensor& weight, const std::optional<at::Tensor>&,
                       at::IntArrayRef stride, at::IntArrayRef padding, at::IntArrayRef dilation,
                       bool transposed, at::IntArrayRef output_padding, std::int64_t groups) {
  TORCH_CHECK(input.size(1) == (transposed ? weight.size(0) : weight.size(1) * groups),
              "convolution: input has ", input.size(1), " channels, weight is ", weight.sizes(), " with ",
              groups, " groups");
  std::vector<std::int64_t> shape{input.size(0), transposed ? weight.size(1) * groups : weight.size(0)};
  for (std::size_t i = 0; i + 2 < static_cast<std::size_t>(input.dim()); ++i) {
    const auto d = static_cast<std::int64_t>(i) + 2;
    const std::int64_t reach = of(dilation, i) * (weight.size(d) - 1);
    shape.push_back(transposed ? (input.size(d) - 1) * of(stride, i) - 2 * of(padding, i) + reach +
                                     of(output_padding, i) + 1
                               : (input.size(d) + 2 * of(padding, i) - reach - 1) / of(stride, i) + 1);
  }
  return at::empty(shape, input.options());
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> batch_norm(
    const at::Tensor& input, const std::optional<at::Tensor>&, const std::optional<at::Tensor>&,
    const std::optional<at::Tensor>&, const std::optional<at::Tensor>&, bool training, double, double) {
  const std::int64_t saved = training ? input.size(1) : 0;
  return {at::empty_like(input), at::empty({saved}, input.options()), at::empty({saved}, input.options())};
}

at::Tensor index_select(const at::Tensor& self, std::int64_t dim, const at::Tensor& index) {
  std::vector<std::int64_t> shape = self.sizes().vec();
  if (!shape.empty()) shape[static_cast<std::size_t>(dim < 0 ? dim + self.dim() : dim)] = index.numel();
  return at::empty(shape, self.options());
}

/// The first argument's size and type.
void like_the_first(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const std::size_t count = op.schema().arguments().size();
  const at::Tensor first = (*stack)[stack->size() - count].toTensor();
  stack->resize(stack->size() - count);
  stack->push_back(at::empty_like(first));
}

std::vector<std::int64_t> chosen_shape(const at::Tensor& condition, const at::Tensor& a,
                                       const at::Tensor& b) {
  return at::infer_size(at::infer_size(condition.sizes(), a.sizes()), b.sizes());
}

at::Tensor where(const at::Tensor& condition, const at::Tensor& a, const at::Tensor& b) {
  return at::empty(chosen_shape(condition, a, b), a.options().dtype(at::result_type(a, b)));
}

at::Tensor& where_out(const at::Tensor& condition, const at::Tensor& a, const at::Tensor& b,
                      at::Tensor& out) {
  const std::vector<std::int64_t> shape = chosen_shape(condition, a, b);
  if (out.sizes() != shape) out.resize_(shape);
  return out;
}

at::Tensor grid_sampler(const at::Tensor& input, const at::Tensor& grid, std::int64_t, std::int64_t, bool) {
  return at::empty({input.size(0), input.size(1), grid.size(1), grid.size(2)}, input.options());
}

/// Has a CPU kernel, but nothing that serves meta tensors.
bool lacks_meta_kernel(const c10::OperatorHandle& op) {
  using c10::DispatchKey;
  if (!op.hasKernelForDispatchKey(DispatchKey::CPU)) return false;
  const auto serving = {DispatchKey::Meta, DispatchKey::CompositeExplicitAutograd,
                        DispatchKey::CompositeExplicitAutogradNonFunctional,
                        DispatchKey::CompositeImplicitAutograd};
  return std::ranges::none_of(serving, [&](DispatchKey key) { return op.hasKernelForDispatchKey(key); });
}

}  // namespace

struct MetaKernels::Registrations {
  // The work is on shapes: starting a thread team for each small op would cost more than the op.
  int threads = at::get_num_threads();
  torch::Library library{torch::Library::IMPL, "aten", c10::DispatchKey::Meta, __FILE__, __LINE__};
};

MetaKernels::MetaKernels() : registrations_(std::make_unique<Registrations>()) {
  at::set_num_threads(1);
  torch::Library& library = registrations_->library;
  library.impl("convolution", TORCH_FN(convolution));
  library.impl("native_batch_norm", TORCH_FN(batch_norm));
  library.impl("index_select", TORCH_FN(index_select));
  library.impl("where.self", TORCH_FN(where));
  library.impl("where.self_out", TORCH_FN(where_out));
  library.impl("grid_sampler_2d", TORCH_FN(grid_sampler));
  for (const char* name : {"relu", "hardtanh", "roll", "flip"})
    library.impl(name, torch::CppFunction::makeFromBoxedFunction<&like_the_first>());
  for (const c10::OperatorName& name : c10::Dispatcher::singleton().getAllOpNames()) {
    if (!name.name.starts_with("aten::")) continue;
    const auto op = c10::Dispatcher::singleton().findSchema(name);
    if (!op || !lacks_meta_kernel(*op)) continue;
    const std::string qualified =
        name.overload_name.empty() ? name.name : name.name + "." + name.overload_name;
    library.impl(qualified.c_str(), torch::CppFunction::makeFromBoxedFunction<&run_on_cpu>());
  }
}

MetaKernels::~MetaKernels() { at::set_num_threads(registrations_->threads); }

}  // namespace pollard::models
