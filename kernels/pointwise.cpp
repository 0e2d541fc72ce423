// SPDX-License-Identifier: Apache-2.0
#include "kernels/pointwise.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>
#include <vector>

namespace pollard::kernels {
namespace {

/// A convolution as a product of matrices: places of the result are its rows.
struct PointwiseCall {
  const float *input, *weight, *bias, *other;  ///< no bias, nothing to add: nullptr
  float* out;                                  ///< may be `other`
  std::int64_t inputs, outputs;                ///< channels
  std::int64_t height, width;                  ///< of the input
  std::int64_t lines, columns;                 ///< of the result
  std::int64_t stride_down, stride_across;
  bool as_they_lie;  ///< place r of the result is made of place r of the input
  bool relu;
};

struct Kernel {
  std::int64_t lanes, rows;
  void (*pack)(const float* weight, std::int64_t outputs, std::int64_t inputs, float* to);
  void (*run_rows)(const PointwiseCall&, std::int64_t begin, std::int64_t end);
};

}  // namespace
}  // namespace pollard::kernels

#define POLLARD_TILE "kernels/pointwise_tile.inc"
#include "kernels/instruction_sets.inc"

namespace pollard::kernels {
namespace {

constexpr auto kInnermost = at::MemoryFormat::ChannelsLast;
/// Places that meet a panel of weights before the next panel: their inputs stay in a core's second cache.
constexpr std::int64_t kRowsAtOnce = 192;
constexpr std::int64_t kMostInputs = 2048, kFewestPlaces = 49;

std::int64_t padded(const Kernel& kernel, std::int64_t outputs) {
  return at::divup(outputs, kernel.lanes) * kernel.lanes;
}

at::Tensor pack(const Kernel& kernel, const at::Tensor& weight) {
  TORCH_CHECK_VALUE(weight.is_cpu() && weight.scalar_type() == at::kFloat && weight.dim() >= 2 &&
                        weight.numel() == weight.size(0) * weight.size(1),
                    "a pointwise weight is [outputs, inputs, 1, 1] in single precision on a CPU, got ",
                    weight.sizes());
  const at::Tensor from = weight.detach().contiguous();
  at::Tensor to = at::empty({from.size(1), padded(kernel, from.size(0))}, from.options());
  kernel.pack(from.const_data_ptr<float>(), from.size(0), from.size(1), to.mutable_data_ptr<float>());
  return to;
}

std::vector<std::int64_t> result_shape(const at::Tensor& input, std::int64_t outputs,
                                       at::IntArrayRef stride) {
  const auto places = [&](std::size_t d) {
    return (input.size(static_cast<std::int64_t>(d) + 2) - 1) / stride[d] + 1;
  };
  return {input.size(0), outputs, places(0), places(1)};
}

void check(const Kernel& kernel, const at::Tensor& input, const at::Tensor& weight,
           const std::optional<at::Tensor>& bias, const std::optional<at::Tensor>& other,
           std::int64_t outputs, at::IntArrayRef stride) {
  const auto plain = [](const at::Tensor& t) { return t.is_cpu() && t.scalar_type() == at::kFloat; };
  TORCH_CHECK_VALUE(
      plain(input) && input.dim() == 4 && input.numel() > 0 && plain(weight) && weight.is_contiguous() &&
          outputs > 0 && stride.size() == 2 && stride[0] > 0 && stride[1] > 0 &&
          weight.sizes() == at::IntArrayRef({input.size(1), padded(kernel, outputs)}),
      "packed_pointwise: ", input.sizes(), " by ", weight.sizes(), " to ", outputs, " channels");
  TORCH_CHECK_VALUE(!bias || (plain(*bias) && bias->is_contiguous() && bias->numel() == outputs),
                    "packed_pointwise: a bias for ", outputs, " channels");
  TORCH_CHECK_VALUE(
      !other || (plain(*other) && other->sizes() == at::IntArrayRef(result_shape(input, outputs, stride))),
      "packed_pointwise: what is added has another shape than the result");
}

/// Blocks of whole tiles, as many for every thread: each place is computed alike whoever computes it.
std::int64_t rows_of_a_block(std::int64_t places, std::int64_t rows_of_a_tile) {
  const std::int64_t threads = at::get_num_threads(), tiles = at::divup(places, rows_of_a_tile),
                     of_a_thread = at::divup(tiles, threads * (kRowsAtOnce / rows_of_a_tile));
  return at::divup(tiles, threads * of_a_thread) * rows_of_a_tile;
}

/// `out` has its shape and channels innermost; it may be `other`.
void run(const Kernel& kernel, const at::Tensor& input, const at::Tensor& weight,
         const std::optional<at::Tensor>& bias, const std::optional<at::Tensor>& other, at::Tensor& out,
         at::IntArrayRef stride, bool relu) {
  const at::Tensor from = input.contiguous(kInnermost),
                   sum = other ? other->contiguous(kInnermost) : at::Tensor();
  const PointwiseCall call{.input = from.const_data_ptr<float>(),
                           .weight = weight.const_data_ptr<float>(),
                           .bias = bias ? bias->const_data_ptr<float>() : nullptr,
                           .other = other ? sum.const_data_ptr<float>() : nullptr,
                           .out = out.mutable_data_ptr<float>(),
                           .inputs = input.size(1),
                           .outputs = out.size(1),
                           .height = input.size(2),
                           .width = input.size(3),
                           .lines = out.size(2),
                           .columns = out.size(3),
                           .stride_down = stride[0],
                           .stride_across = stride[1],
                           .as_they_lie = stride[0] == 1 && stride[1] == 1,
                           .relu = relu};
  const std::int64_t places = out.size(0) * out.size(2) * out.size(3);
  const std::int64_t each = rows_of_a_block(places, kernel.rows);
  at::parallel_for(0, at::divup(places, each), 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t block = begin; block < end; ++block)
      kernel.run_rows(call, block * each, std::min(places, (block + 1) * each));
  });
}

at::Tensor run_new(const Kernel& kernel, const at::Tensor& input, const at::Tensor& weight,
                   const std::optional<at::Tensor>& bias, const std::optional<at::Tensor>& other,
                   std::int64_t outputs, at::IntArrayRef stride, bool relu) {
  check(kernel, input, weight, bias, other, outputs, stride);
  at::Tensor out = at::empty(result_shape(input, outputs, stride), input.options().memory_format(kInnermost));
  run(kernel, input, weight, bias, other, out, stride, relu);
  return out;
}

at::Tensor packed_pointwise(const at::Tensor& input, const at::Tensor& weight,
                            const std::optional<at::Tensor>& bias, const std::optional<at::Tensor>& other,
                            std::int64_t outputs, at::IntArrayRef stride, bool relu) {
  return run_new(best_kernel(), input, weight, bias, other, outputs, stride, relu);
}

at::Tensor& packed_pointwise_into(const at::Tensor& input, const at::Tensor& weight,
                                  const std::optional<at::Tensor>& bias, at::Tensor& other,
                                  std::int64_t outputs, at::IntArrayRef stride, bool relu) {
  if (!other.is_contiguous(kInnermost))
    return other.copy_(packed_pointwise(input, weight, bias, other, outputs, stride, relu));
  check(best_kernel(), input, weight, bias, other, outputs, stride);
  run(best_kernel(), input, weight, bias, other, other, stride, relu);
  return other;
}

at::Tensor form(const at::Tensor& input, const at::Tensor&, const std::optional<at::Tensor>&,
                const std::optional<at::Tensor>&, std::int64_t outputs, at::IntArrayRef stride, bool) {
  return at::empty(result_shape(input, outputs, stride), input.options().memory_format(kInnermost));
}

at::Tensor& into_form(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&,
                      at::Tensor& other, std::int64_t, at::IntArrayRef, bool) {
  return other;
}

}  // namespace

at::Tensor pack_pointwise_weight(const at::Tensor& weight) { return pack(best_kernel(), weight); }

bool pointwise_pays(std::int64_t places, std::int64_t inputs, std::int64_t outputs) {
  return best_kernel().lanes == 16 && inputs <= kMostInputs && places >= kFewestPlaces &&
         outputs >= best_kernel().lanes;
}

at::Tensor pointwise_with(const char* instruction_set, const at::Tensor& input, const at::Tensor& weight,
                          const std::optional<at::Tensor>& bias, const std::optional<at::Tensor>& other,
                          at::IntArrayRef stride, bool relu) {
  const Kernel& kernel = kernel_of(instruction_set);
  return run_new(kernel, input, pack(kernel, weight), bias, other, weight.size(0), stride, relu);
}

TORCH_LIBRARY_FRAGMENT(pollard, library) {
  const auto cpu = c10::DispatchKey::CompositeExplicitAutograd;
  library.def(
      "packed_pointwise(Tensor input, Tensor weight, Tensor? bias, Tensor? other, int outputs, int[2] "
      "stride, "
      "bool relu) -> Tensor",
      torch::dispatch(cpu, TORCH_FN(packed_pointwise)));
  library.def(
      "packed_pointwise_(Tensor input, Tensor weight, Tensor? bias, Tensor(a!) other, int outputs, int[2] "
      "stride, bool relu) -> Tensor(a!)",
      torch::dispatch(cpu, TORCH_FN(packed_pointwise_into)));
}

TORCH_LIBRARY_IMPL(pollard, Meta, library) {
  library.impl("packed_pointwise", TORCH_FN(form));
  library.impl("packed_pointwise_", TORCH_FN(into_form));
}

}  // namespace pollard::kernels
