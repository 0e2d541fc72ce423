// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention/cascaded_attention.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>
#include <array>
#include <vector>

#include "kernels/cuda_operators.h"
#include "kernels/gradients.h"

namespace pollard::kernels {
namespace {

struct CascadedHead {
  const float *qkv, *qkv_bias, *depthwise, *depthwise_bias;
  std::int64_t read, keys, given, side;  ///< channels in, of q and of k, out; of the convolution
};

struct CascadedCall {
  const CascadedHead* head;
  const float* biases;  ///< [heads, keys, queries] in panels of queries
  std::int64_t heads, height, width, n, stride;
  std::int64_t most_read, most_made, most_keys, padded;  ///< rows and floats that every head finds room in
  float scale;
};

struct Kernel {
  std::int64_t lanes, panel;
  void (*turn_biases)(const float* from, std::int64_t heads, std::int64_t n, std::int64_t stride, float* to);
  void (*run_window)(const CascadedCall&, const float* x, float* out, float* scratch);
};

}  // namespace
}  // namespace pollard::kernels

#define POLLARD_TILE "kernels/attention/cascaded_tile.inc"
#include "kernels/instruction_sets.inc"

namespace pollard::kernels {
namespace {

std::int64_t value_width(const CascadedWeights& w, std::size_t h) {
  return w.qkv[h].size(0) - 2 * w.depthwise[h].size(0);
}

std::int64_t joined_width(const CascadedWeights& w) {
  std::int64_t joined = 0;
  for (std::size_t h = 0; h < w.qkv.size(); ++h) joined += value_width(w, h);
  return joined;
}

void check_head(const CascadedWeights& w, std::size_t h) {
  const at::Tensor &qkv = w.qkv[h], &depthwise = w.depthwise[h];
  const bool square = depthwise.dim() == 4 && depthwise.size(1) == 1 &&
                      depthwise.size(2) == depthwise.size(3) && depthwise.size(2) % 2 == 1;
  TORCH_CHECK_VALUE(square && qkv.dim() == 4 && qkv.size(2) == 1 && qkv.size(3) == 1 &&
                        value_width(w, h) > 0 && (h == 0 || qkv.size(1) == value_width(w, h - 1)) &&
                        w.qkv_bias[h].sizes() == qkv.sizes().slice(0, 1) &&
                        w.depthwise_bias[h].sizes() == depthwise.sizes().slice(0, 1),
                    "cascaded_group_attention: head ", h, " has ", qkv.sizes(), ", ", w.qkv_bias[h].sizes(),
                    ", ", depthwise.sizes(), ", ", w.depthwise_bias[h].sizes());
}

void check(const at::Tensor& x, const CascadedWeights& w) {
  const std::size_t heads = w.qkv.size();
  TORCH_CHECK_VALUE(heads > 0 && w.qkv_bias.size() == heads && w.depthwise.size() == heads &&
                        w.depthwise_bias.size() == heads,
                    "cascaded_group_attention: every head has four weights");
  std::int64_t channels = 0;
  for (std::size_t h = 0; h < heads; ++h) {
    check_head(w, h);
    channels += w.qkv[h].size(1);
  }
  const bool fits = x.dim() == 4 && x.size(1) == channels && w.bias.dim() == 3 &&
                    w.bias.size(0) == static_cast<std::int64_t>(heads) &&
                    w.bias.size(1) == x.size(2) * x.size(3) && w.bias.size(2) == w.bias.size(1);
  TORCH_CHECK_VALUE(fits, "cascaded_group_attention: input ", x.sizes(), " and bias ", w.bias.sizes(),
                    " for ", channels, " channels");
}

// In ATen's operators ------------------------------------------------------------------------------------------

at::Tensor run_head(const at::Tensor& x, const CascadedWeights& w, std::size_t h, double scale) {
  const std::int64_t K = w.depthwise[h].size(0), side = w.depthwise[h].size(2), e = value_width(w, h);
  const auto parts = at::conv2d(x, w.qkv[h], w.qkv_bias[h]).split_with_sizes({K, K, e}, 1);
  const at::Tensor q = at::conv2d(parts[0], w.depthwise[h], w.depthwise_bias[h], 1, side / 2, 1, K);
  const auto tokens = [](const at::Tensor& t) { return t.flatten(2).transpose(1, 2); };
  const at::Tensor bias = w.bias.select(0, static_cast<std::int64_t>(h));
  return at::scaled_dot_product_attention(tokens(q), tokens(parts[1]), tokens(parts[2]), bias, 0.0, false,
                                          scale)
      .transpose(1, 2)
      .reshape({x.size(0), e, x.size(2), x.size(3)});
}

at::Tensor run_heads(const at::Tensor& input, const CascadedWeights& w, double scale) {
  std::vector<std::int64_t> widths;
  for (const at::Tensor& qkv : w.qkv) widths.push_back(qkv.size(1));
  const auto chunks = input.split_with_sizes(widths, 1);
  std::vector<at::Tensor> out;
  for (std::size_t h = 0; h < chunks.size(); ++h)
    out.push_back(run_head(h == 0 ? chunks[0] : chunks[h].add(out.back()), w, h, scale));
  return at::cat(out, 1);
}

// In one kernel ------------------------------------------------------------------------------------------------

bool fits_kernel(const at::Tensor& input, const CascadedWeights& w) {
  const auto plain = [&](const at::Tensor& t) {
    return t.device() == input.device() && t.scalar_type() == at::kFloat && !follows_gradients(t);
  };
  return (input.is_cpu() || input.is_cuda()) && plain(input) && plain(w.bias) && input.numel() > 0 &&
         std::ranges::all_of(std::array{w.qkv, w.qkv_bias, w.depthwise, w.depthwise_bias},
                             [&](at::TensorList list) { return std::ranges::all_of(list, plain); });
}

/// The weights as one row of numbers each, kept alive.
struct HeadWeights {
  std::vector<at::Tensor> kept;
  std::vector<CascadedHead> heads;
  explicit HeadWeights(const CascadedWeights& w) {
    const auto data = [&](const at::Tensor& t) {
      kept.push_back(t.contiguous());
      return kept.back().const_data_ptr<float>();
    };
    for (std::size_t h = 0; h < w.qkv.size(); ++h)
      heads.push_back({.qkv = data(w.qkv[h]),
                       .qkv_bias = data(w.qkv_bias[h]),
                       .depthwise = data(w.depthwise[h]),
                       .depthwise_bias = data(w.depthwise_bias[h]),
                       .read = w.qkv[h].size(1),
                       .keys = w.depthwise[h].size(0),
                       .given = value_width(w, h),
                       .side = w.depthwise[h].size(2)});
  }
};

CascadedCall call_of(const Kernel& kernel, const at::Tensor& input, const HeadWeights& w, double scale) {
  CascadedCall call{};
  call.head = w.heads.data();
  call.heads = std::ssize(w.heads);
  call.height = input.size(2);
  call.width = input.size(3);
  call.n = call.height * call.width;
  call.stride = (call.n + kernel.lanes - 1) / kernel.lanes * kernel.lanes;
  call.scale = static_cast<float>(scale);
  for (const CascadedHead& head : w.heads) {
    call.most_read = std::max(call.most_read, head.read);
    call.most_made = std::max(call.most_made, 2 * head.keys + head.given);
    call.most_keys = std::max(call.most_keys, head.keys);
    // Vectors are read and written from every place of the map on.
    const std::int64_t map = (call.height + head.side - 1) * (call.width + head.side - 1) + head.side;
    call.padded = std::max(call.padded, (map / kernel.lanes + 2) * kernel.lanes);
  }
  return call;
}

at::Tensor run_fused(const Kernel& kernel, const at::Tensor& given, const CascadedWeights& w, double scale) {
  const at::Tensor input = given.contiguous(), bias = w.bias.contiguous();
  const HeadWeights weights(w);
  CascadedCall call = call_of(kernel, input, weights, scale);
  const at::Tensor biases = at::empty({call.heads * call.n * call.stride}, input.options());
  kernel.turn_biases(bias.const_data_ptr<float>(), call.heads, call.n, call.stride,
                     biases.mutable_data_ptr<float>());
  call.biases = biases.const_data_ptr<float>();
  const at::Tensor out =
      at::empty({input.size(0), joined_width(w), call.height, call.width}, input.options());
  const std::int64_t memory = call.stride * (call.most_read + call.most_made + call.most_keys) +
                              2 * call.padded + call.n * kernel.panel;
  const float* const from = input.const_data_ptr<float>();
  float* const to = out.mutable_data_ptr<float>();
  at::parallel_for(0, input.size(0), 1, [&](std::int64_t begin, std::int64_t end) {
    float* const own = scratch(memory);
    for (std::int64_t b = begin; b < end; ++b)
      kernel.run_window(call, from + b * input.stride(0), to + b * out.stride(0), own);
  });
  return out;
}

at::Tensor by_operator(const at::Tensor& input, at::TensorList qkv, at::TensorList qkv_bias,
                       at::TensorList depthwise, at::TensorList depthwise_bias, const at::Tensor& bias,
                       double scale) {
  return cascaded_attention(input, {qkv, qkv_bias, depthwise, depthwise_bias, bias}, scale);
}

}  // namespace

at::Tensor cascaded_attention_by_aten(const at::Tensor& input, const CascadedWeights& w, double scale) {
  check(input, w);
  return run_heads(input, w, scale);
}

at::Tensor cascaded_attention(const at::Tensor& input, const CascadedWeights& w, double scale) {
  check(input, w);
  if (input.is_meta())
    return at::empty({input.size(0), joined_width(w), input.size(2), input.size(3)}, input.options());
  if (!fits_kernel(input, w)) return run_heads(input, w, scale);
  if (input.is_cpu()) return run_fused(best_kernel(), input, w, scale);
  return cuda::takes_cascade(w, input.size(2), input.size(3)) ? cuda::cascaded_attention(input, w, scale)
                                                              : run_heads(input, w, scale);
}

at::Tensor cascaded_attention_with(const char* name, const at::Tensor& input, const CascadedWeights& w,
                                   double scale) {
  check(input, w);
  return run_fused(kernel_of(name), input, w, scale);
}

TORCH_LIBRARY_FRAGMENT(pollard, library) {
  library.def(
      "cascaded_group_attention(Tensor input, Tensor[] qkv, Tensor[] qkv_bias, Tensor[] depthwise, Tensor[] "
      "depthwise_bias, Tensor bias, float scale) -> Tensor",
      by_operator);
}

}  // namespace pollard::kernels
