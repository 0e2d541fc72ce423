// SPDX-License-Identifier: Apache-2.0
#include "kernels/packed_ops.h"

#include <ATen/ATen.h>
#include <ATen/core/List.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/library.h>

#include <algorithm>
#include <array>
#include <optional>

namespace pollard::kernels {
namespace {

using Scalars = c10::List<std::optional<at::Scalar>>;
using Text = std::optional<std::string_view>;

/// How LibTorch's oneDNN operators name an activation.
struct Activation {
  std::string_view name, attribute;
  std::string_view algorithm = "";
  double low = 0, high = 0;  ///< of hardtanh
};
constexpr std::array<Activation, 10> kActivations{{{"none", "none"},
                                                   {"relu", "relu"},
                                                   {"gelu", "gelu", "none"},
                                                   {"gelu_tanh", "gelu", "tanh"},
                                                   {"sigmoid", "sigmoid"},
                                                   {"tanh", "tanh"},
                                                   {"silu", "swish"},
                                                   {"hardswish", "hardswish"},
                                                   {"hardsigmoid", "hardsigmoid"},
                                                   {"relu6", "hardtanh", "", 0, 6}}};

const Activation& activation_of(std::string_view name) {
  const auto found = std::ranges::find(kActivations, name, &Activation::name);
  TORCH_CHECK_VALUE(found != kActivations.end(), "unknown activation ", name);
  return *found;
}

Scalars scalars_of(const Activation& a) {
  Scalars out;
  if (a.attribute == "hardtanh") {
    out.push_back(at::Scalar(a.low));
    out.push_back(at::Scalar(a.high));
  }
  return out;
}

Text algorithm_of(const Activation& a) { return a.algorithm.empty() ? Text() : Text(a.algorithm); }

template <class Signature>
auto find_op(const char* name, const char* overload = "") {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, overload).typed<Signature>();
}

void check_operands(const at::Tensor& input, const at::Tensor& weight) {
  TORCH_CHECK_VALUE(weight.is_mkldnn(), "the weight is not packed");
  const at::ScalarType type = input.scalar_type();
  TORCH_CHECK_VALUE(input.is_cpu() && (type == at::kFloat || type == at::kBFloat16) &&
                        type == weight.scalar_type() && input.layout() == at::kStrided,
                    "packed layers take f32 or bf16 on a CPU, what they were packed in; got ", type, " and ",
                    weight.scalar_type());
}

at::Tensor packed_linear(const at::Tensor& input, const at::Tensor& weight,
                         const std::optional<at::Tensor>& bias, const std::optional<at::Tensor>& other,
                         std::string_view activation) {
  check_operands(input, weight);
  TORCH_CHECK_VALUE(input.dim() > 0 && input.size(-1) == weight.size(1), "linear: input has ", input.sizes(),
                    ", weight is ", weight.sizes());
  if (other) {
    static const auto op = find_op<at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&,
                                              const std::optional<at::Tensor>&, std::string_view)>(
        "mkldnn::_linear_pointwise", "binary");
    TORCH_CHECK_VALUE(activation == "none", "a sum takes no activation");
    return op.call(input, *other, weight, bias, "add");
  }
  static const auto op =
      find_op<at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&,
                         std::string_view, Scalars, Text)>("mkldnn::_linear_pointwise");
  const Activation& a = activation_of(activation);
  return op.call(input, weight, bias, a.attribute, scalars_of(a), algorithm_of(a));
}

at::Tensor packed_conv2d(const at::Tensor& input, const at::Tensor& weight,
                         const std::optional<at::Tensor>& bias, const std::optional<at::Tensor>& other,
                         at::IntArrayRef stride, at::IntArrayRef padding, at::IntArrayRef dilation,
                         std::int64_t groups, std::string_view activation) {
  check_operands(input, weight);
  TORCH_CHECK_VALUE(input.dim() == 4, "conv2d: input has ", input.dim(), " dimensions");
  const Activation& a = activation_of(activation);
  if (other) {
    static const auto op = find_op<at::Tensor(
        const at::Tensor&, const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&,
        at::IntArrayRef, at::IntArrayRef, at::IntArrayRef, std::int64_t, std::string_view,
        std::optional<at::Scalar>, Text, Scalars, Text)>("mkldnn::_convolution_pointwise", "binary");
    const Text unary = a.name == "none" ? Text() : Text(a.attribute);
    return op.call(input, *other, weight, bias, padding, stride, dilation, groups, "add", {}, unary,
                   Scalars(), {});
  }
  static const auto op =
      find_op<at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&,
                         at::IntArrayRef, at::IntArrayRef, at::IntArrayRef, std::int64_t, std::string_view,
                         Scalars, Text)>("mkldnn::_convolution_pointwise");
  return op.call(input, weight, bias, padding, stride, dilation, groups, a.attribute, scalars_of(a),
                 algorithm_of(a));
}

at::Tensor& packed_conv2d_into(const at::Tensor& input, const at::Tensor& weight,
                               const std::optional<at::Tensor>& bias, at::Tensor& other,
                               at::IntArrayRef stride, at::IntArrayRef padding, at::IntArrayRef dilation,
                               std::int64_t groups, std::string_view activation) {
  check_operands(input, weight);
  static const auto op =
      find_op<at::Tensor&(at::Tensor&, const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&,
                          at::IntArrayRef, at::IntArrayRef, at::IntArrayRef, std::int64_t, std::string_view,
                          std::optional<at::Scalar>, Text, Scalars, Text)>("mkldnn::_convolution_pointwise_",
                                                                           "binary");
  const Activation& a = activation_of(activation);
  const Text unary = a.name == "none" ? Text() : Text(a.attribute);
  return op.call(other, input, weight, bias, padding, stride, dilation, groups, "add", {}, unary, Scalars(),
                 {});
}

// What the results are on meta tensors, where a packed weight is as any: [o, i], [o, i, kh, kw].
at::Tensor linear_form(const at::Tensor& input, const at::Tensor& weight, const std::optional<at::Tensor>&,
                       const std::optional<at::Tensor>&, std::string_view) {
  return at::linear(input, weight);
}

at::Tensor conv2d_form(const at::Tensor& input, const at::Tensor& weight, const std::optional<at::Tensor>&,
                       const std::optional<at::Tensor>&, at::IntArrayRef stride, at::IntArrayRef padding,
                       at::IntArrayRef dilation, std::int64_t, std::string_view) {
  const auto places = [&](std::size_t d) {
    const auto dim = static_cast<std::int64_t>(d) + 2;
    const std::int64_t span = dilation[d] * (weight.size(dim) - 1) + 1;
    return (input.size(dim) + 2 * padding[d] - span) / stride[d] + 1;
  };
  return at::empty({input.size(0), weight.size(0), places(0), places(1)}, input.options());
}

at::Tensor& conv2d_into_form(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&,
                             at::Tensor& other, at::IntArrayRef, at::IntArrayRef, at::IntArrayRef,
                             std::int64_t, std::string_view) {
  return other;
}

}  // namespace

bool is_packed_activation(std::string_view name) {
  return std::ranges::find(kActivations, name, &Activation::name) != kActivations.end();
}

at::Tensor pack_linear_weight(const at::Tensor& weight, std::int64_t rows) {
  static const auto op =
      find_op<at::Tensor(const at::Tensor&, std::optional<std::int64_t>)>("mkldnn::_reorder_linear_weight");
  return op.call(weight.detach().contiguous(), rows);
}

at::Tensor pack_conv2d_weight(const at::Tensor& weight, const ConvSizes& sizes,
                              const std::vector<std::int64_t>& input_shape) {
  static const auto op =
      find_op<at::Tensor(const at::Tensor&, at::IntArrayRef, at::IntArrayRef, at::IntArrayRef, std::int64_t,
                         at::OptionalIntArrayRef)>("mkldnn::_reorder_convolution_weight");
  return op.call(weight.detach().contiguous(), sizes.padding, sizes.stride, sizes.dilation, sizes.groups,
                 input_shape);
}

TORCH_LIBRARY_FRAGMENT(pollard, library) {
  const auto cpu = c10::DispatchKey::CompositeExplicitAutograd;  // the packed weight has a key of its own
  library.def(
      "packed_linear(Tensor input, Tensor weight, Tensor? bias, Tensor? other, str activation) -> Tensor",
      torch::dispatch(cpu, TORCH_FN(packed_linear)));
  library.def(
      "packed_conv2d(Tensor input, Tensor weight, Tensor? bias, Tensor? other, int[] stride, int[] padding, "
      "int[] dilation, int groups, str activation) -> Tensor",
      torch::dispatch(cpu, TORCH_FN(packed_conv2d)));
  library.def(
      "packed_conv2d_(Tensor input, Tensor weight, Tensor? bias, Tensor(a!) other, int[] stride, int[] "
      "padding, int[] dilation, int groups, str activation) -> Tensor(a!)",
      torch::dispatch(cpu, TORCH_FN(packed_conv2d_into)));
}

TORCH_LIBRARY_IMPL(pollard, Meta, library) {
  library.impl("packed_linear", TORCH_FN(linear_form));
  library.impl("packed_conv2d", TORCH_FN(conv2d_form));
  library.impl("packed_conv2d_", TORCH_FN(conv2d_into_form));
}

}  // namespace pollard::kernels
