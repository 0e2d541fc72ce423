// SPDX-License-Identifier: Apache-2.0
#include "kernels/monarch.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>
#include <vector>

#include "kernels/cuda_operators.h"
#include "kernels/gradients.h"

namespace pollard::kernels {
namespace {

/// Sizes by their letters in monarch.h; factors packed, outputs of a block rounded up to whole vectors.
struct MonarchCall {
  const float *first, *second;
  std::int64_t k, q, p, l, s, r;
  std::int64_t padded_q, padded_s;
  std::int64_t in, middle, out;  ///< floats of a row: k p, k q, s l
};

struct Kernel {
  std::int64_t lanes, rows, panel;
  void (*pack_blocks)(const float* from, std::int64_t blocks, std::int64_t out, std::int64_t in, float* to);
  void (*run_rows)(const MonarchCall&, const float* x, std::int64_t count, float* out, float* scratch);
};

}  // namespace
}  // namespace pollard::kernels

#define POLLARD_TILE "kernels/monarch_tile.inc"
#include "kernels/instruction_sets.inc"

namespace pollard::kernels {
namespace {

/// Rows that meet a panel of weights before the next panel: what they have in the middle stays in a core's cache.
constexpr std::int64_t kRowsAtOnce = 48;
/// With fewer rows packing the factors costs more than it saves.
constexpr std::int64_t kRowsWorthPacking = 64;

void check(const at::Tensor& input, const at::Tensor& first, const at::Tensor& second) {
  TORCH_CHECK_VALUE(input.dim() > 0 && first.dim() == 3 && second.dim() == 3 &&
                        input.size(-1) == first.size(0) * first.size(2) &&
                        first.size(0) * first.size(1) == second.size(0) * second.size(2),
                    "monarch: ", input.sizes(), " by blocks ", first.sizes(), " and ", second.sizes());
}

std::vector<std::int64_t> result_shape(const at::Tensor& input, std::int64_t width) {
  std::vector<std::int64_t> shape = input.sizes().vec();
  shape.back() = width;
  return shape;
}

// In ATen's operators ------------------------------------------------------------------------------------------

/// x [rows, n, in] by blocks [n, out, in]: [n, rows, out].
at::Tensor by_block(const at::Tensor& x, const at::Tensor& blocks) {
  return at::bmm(x.transpose(0, 1), blocks.transpose(1, 2));
}

// In one kernel ------------------------------------------------------------------------------------------------

at::Tensor pack(const Kernel& kernel, const at::Tensor& factor) {
  const at::Tensor from = factor.detach().contiguous();
  const std::int64_t blocks = from.size(0), out = from.size(1), in = from.size(2);
  const std::int64_t padded = (out + kernel.lanes - 1) / kernel.lanes * kernel.lanes;
  at::Tensor to = at::empty({blocks, in, padded}, from.options());
  kernel.pack_blocks(from.const_data_ptr<float>(), blocks, out, in, to.mutable_data_ptr<float>());
  return to;
}

/// The factors packed.
at::Tensor run_packed(const Kernel& kernel, const at::Tensor& given, const at::Tensor& first,
                      const at::Tensor& second, std::int64_t q, std::int64_t s) {
  const at::Tensor input = given.contiguous();
  const MonarchCall call{.first = first.const_data_ptr<float>(),
                         .second = second.const_data_ptr<float>(),
                         .k = first.size(0),
                         .q = q,
                         .p = first.size(1),
                         .l = second.size(0),
                         .s = s,
                         .r = second.size(1),
                         .padded_q = first.size(2),
                         .padded_s = second.size(2),
                         .in = input.size(-1),
                         .middle = first.size(0) * q,
                         .out = second.size(0) * s};
  at::Tensor out = at::empty(result_shape(input, call.out), input.options());
  if (out.numel() == 0) return out;
  const std::int64_t rows = out.numel() / call.out, parts = (rows + kRowsAtOnce - 1) / kRowsAtOnce,
                     each = (rows + parts - 1) / parts;
  const float* const from = input.const_data_ptr<float>();
  float* const to = out.mutable_data_ptr<float>();
  at::parallel_for(0, rows, each, [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t most = std::min(each, end - begin);
    float* const own = scratch(most * call.middle + call.l * kernel.rows * kernel.panel);
    for (; begin < end; begin += most)
      kernel.run_rows(call, from + begin * call.in, std::min(most, end - begin), to + begin * call.out, own);
  });
  return out;
}

at::Tensor run_plain(const Kernel& kernel, const at::Tensor& input, const at::Tensor& first,
                     const at::Tensor& second) {
  return run_packed(kernel, input, pack(kernel, first), pack(kernel, second), first.size(1), second.size(1));
}

/// In single precision beside the input, without gradients, and not empty.
bool fits_kernel(const at::Tensor& input, const at::Tensor& first, const at::Tensor& second) {
  const auto plain = [&](const at::Tensor& t) {
    return t.device() == input.device() && t.scalar_type() == at::kFloat && !follows_gradients(t);
  };
  return plain(input) && plain(first) && plain(second) && first.numel() > 0 && second.numel() > 0;
}

at::Tensor packed_monarch(const at::Tensor& input, const at::Tensor& first, const at::Tensor& second,
                          std::int64_t q, std::int64_t s) {
  const auto padded = [&](std::int64_t n) {
    return (n + best_kernel().lanes - 1) / best_kernel().lanes * best_kernel().lanes;
  };
  const auto packed = [](const at::Tensor& t) {
    return t.dim() == 3 && t.scalar_type() == at::kFloat && t.is_contiguous();
  };
  TORCH_CHECK_VALUE(input.dim() > 0 && input.scalar_type() == at::kFloat && packed(first) && packed(second) &&
                        q > 0 && s > 0 && input.size(-1) == first.size(0) * first.size(1) &&
                        first.size(0) * q == second.size(0) * second.size(1) && first.size(2) == padded(q) &&
                        second.size(2) == padded(s),
                    "packed_monarch: ", input.sizes(), " by ", first.sizes(), " and ", second.sizes());
  return run_packed(best_kernel(), input, first, second, q, s);
}

at::Tensor packed_form(const at::Tensor& input, const at::Tensor&, const at::Tensor& second, std::int64_t,
                       std::int64_t s) {
  return at::empty(result_shape(input, second.size(0) * s), input.options());
}

}  // namespace

at::Tensor monarch_by_aten(const at::Tensor& input, const at::Tensor& first, const at::Tensor& second) {
  check(input, first, second);
  const std::int64_t l = second.size(0), r = second.size(2);
  const at::Tensor a = by_block(input.reshape({-1, first.size(0), first.size(2)}), first);
  const at::Tensor read = a.transpose(0, 1).reshape({-1, r, l}).transpose(1, 2);
  return by_block(read, second).permute({1, 2, 0}).reshape(result_shape(input, l * second.size(1)));
}

at::Tensor monarch(const at::Tensor& input, const at::Tensor& first, const at::Tensor& second) {
  check(input, first, second);
  const bool fits = fits_kernel(input, first, second);
  if (fits && input.is_cuda()) return cuda::monarch(input, first, second);
  if (fits && input.is_cpu() && input.numel() >= kRowsWorthPacking * input.size(-1))
    return run_plain(best_kernel(), input, first, second);
  return monarch_by_aten(input, first, second);
}

at::Tensor pack_monarch_factor(const at::Tensor& factor) {
  TORCH_CHECK_VALUE(factor.dim() == 3 && factor.is_cpu() && factor.scalar_type() == at::kFloat,
                    "a factor has blocks [n, out, in] in single precision on a CPU, got ", factor.sizes());
  return pack(best_kernel(), factor);
}

at::Tensor monarch_with(const char* name, const at::Tensor& input, const at::Tensor& first,
                        const at::Tensor& second) {
  check(input, first, second);
  return run_plain(kernel_of(name), input, first, second);
}

TORCH_LIBRARY_FRAGMENT(pollard, library) {
  library.def("monarch(Tensor input, Tensor first, Tensor second) -> Tensor", monarch);
  library.def("packed_monarch(Tensor input, Tensor first, Tensor second, int q, int s) -> Tensor",
              torch::dispatch(c10::DispatchKey::CPU, TORCH_FN(packed_monarch)));
}

TORCH_LIBRARY_IMPL(pollard, Meta, library) { library.impl("packed_monarch", TORCH_FN(packed_form)); }

}  // namespace pollard::kernels
