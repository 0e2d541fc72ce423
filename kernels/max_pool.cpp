// SPDX-License-Identifier: Apache-2.0
#include "kernels/max_pool.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>

namespace pollard::kernels {
namespace {

using Pair = std::array<std::int64_t, 2>;  // along height, along width

struct PoolCall {
  std::int64_t channels, height, width;
  Pair kernel, stride, padding, dilation;
};

/// Places first, first + dilation .. below `end`.
struct Places {
  std::int64_t first, end;
};

struct Window {
  Places rows, columns;
};

struct Kernel {
  void (*pool_window)(const PoolCall&, const float* map, const Window&, float* to);
};

}  // namespace
}  // namespace pollard::kernels

#define POLLARD_TILE "kernels/max_pool_tile.inc"
#include "kernels/instruction_sets.inc"

namespace pollard::kernels {
namespace {

/// What of window `index` along dimension `d` lies within the map.
Places places_of(const PoolCall& call, std::size_t d, std::int64_t index, std::int64_t size) {
  const std::int64_t dilation = call.dilation[d], start = index * call.stride[d] - call.padding[d],
                     outside = start < 0 ? (-start + dilation - 1) / dilation : 0;
  return {.first = start + outside * dilation, .end = std::min(start + call.kernel[d] * dilation, size)};
}

Pair pair_of(at::IntArrayRef numbers) { return {numbers[0], numbers.back()}; }

PoolCall call_of(const at::Tensor& input, at::IntArrayRef kernel, at::IntArrayRef stride,
                 at::IntArrayRef padding, at::IntArrayRef dilation) {
  return {.channels = input.size(1),
          .height = input.size(2),
          .width = input.size(3),
          .kernel = pair_of(kernel),
          .stride = pair_of(stride.empty() ? kernel : stride),
          .padding = pair_of(padding),
          .dilation = pair_of(dilation)};
}

/// The kernel writes what ATen's operator would: it says the sizes, and refuses what makes no sense, on a meta tensor.
at::Tensor empty_result(const at::Tensor& input, at::IntArrayRef kernel, at::IntArrayRef stride,
                        at::IntArrayRef padding, at::IntArrayRef dilation) {
  const at::Tensor form = at::max_pool2d(at::empty(input.sizes(), input.options().device(at::kMeta)), kernel,
                                         stride, padding, dilation);
  return at::empty(form.sizes(), input.options().memory_format(at::MemoryFormat::ChannelsLast));
}

at::Tensor run(const Kernel& chosen, const at::Tensor& input, at::IntArrayRef kernel, at::IntArrayRef stride,
               at::IntArrayRef padding, at::IntArrayRef dilation) {
  at::Tensor out = empty_result(input, kernel, stride, padding, dilation);
  const PoolCall call = call_of(input, kernel, stride, padding, dilation);
  const std::int64_t rows = out.size(2), columns = out.size(3),
                     map = call.channels * call.height * call.width;
  const float* const from = input.const_data_ptr<float>();
  float* const to = out.mutable_data_ptr<float>();
  const std::int64_t grain =
      std::max<std::int64_t>(1, 32768 / std::max<std::int64_t>(1, columns * call.channels));
  at::parallel_for(0, out.size(0) * rows, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      Window window{.rows = places_of(call, 0, row % rows, call.height), .columns = {}};
      for (std::int64_t x = 0; x < columns; ++x) {
        window.columns = places_of(call, 1, x, call.width);
        chosen.pool_window(call, from + row / rows * map, window, to + (row * columns + x) * call.channels);
      }
    }
  });
  return out;
}

bool fits(const at::Tensor& input) {
  return input.is_cpu() && input.scalar_type() == at::kFloat && input.dim() == 4 && input.numel() > 0 &&
         input.is_contiguous(at::MemoryFormat::ChannelsLast);
}

}  // namespace

at::Tensor max_pool(const at::Tensor& input, at::IntArrayRef kernel, at::IntArrayRef stride,
                    at::IntArrayRef padding, at::IntArrayRef dilation) {
  return fits(input) ? run(best_kernel(), input, kernel, stride, padding, dilation)
                     : at::max_pool2d(input, kernel, stride, padding, dilation);
}

at::Tensor max_pool_with(const char* instruction_set, const at::Tensor& input, at::IntArrayRef kernel,
                         at::IntArrayRef stride, at::IntArrayRef padding, at::IntArrayRef dilation) {
  TORCH_CHECK_VALUE(fits(input), "max_pool2d: the kernel takes maps of floats with channels innermost");
  return run(kernel_of(instruction_set), input, kernel, stride, padding, dilation);
}

TORCH_LIBRARY_FRAGMENT(pollard, library) {
  library.def(
      "max_pool2d(Tensor input, int[2] kernel_size, int[2] stride, int[2] padding, int[2] dilation) -> "
      "Tensor",
      torch::dispatch(c10::DispatchKey::CompositeExplicitAutograd, TORCH_FN(max_pool)));
}

}  // namespace pollard::kernels
