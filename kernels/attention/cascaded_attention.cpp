// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention/cascaded_attention.h"

#include <ATen/ATen.h>
#include <torch/library.h>

#include <vector>

namespace pollard::kernels {
namespace {

std::int64_t value_width(const CascadedWeights& w, std::size_t h) {
  return w.qkv[h].size(0) - 2 * w.depthwise[h].size(0);
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

at::Tensor by_operator(const at::Tensor& input, at::TensorList qkv, at::TensorList qkv_bias,
                       at::TensorList depthwise, at::TensorList depthwise_bias, const at::Tensor& bias,
                       double scale) {
  return cascaded_attention(input, {qkv, qkv_bias, depthwise, depthwise_bias, bias}, scale);
}

}  // namespace

at::Tensor cascaded_attention(const at::Tensor& input, const CascadedWeights& w, double scale) {
  check(input, w);
  std::vector<std::int64_t> widths;
  std::int64_t joined = 0;
  for (std::size_t h = 0; h < w.qkv.size(); ++h) {
    widths.push_back(w.qkv[h].size(1));
    joined += value_width(w, h);
  }
  if (input.is_meta())
    return at::empty({input.size(0), joined, input.size(2), input.size(3)}, input.options());
  const auto chunks = input.split_with_sizes(widths, 1);
  std::vector<at::Tensor> out;
  for (std::size_t h = 0; h < chunks.size(); ++h)
    out.push_back(run_head(h == 0 ? chunks[0] : chunks[h].add(out.back()), w, h, scale));
  return at::cat(out, 1);
}

TORCH_LIBRARY_FRAGMENT(pollard, library) {
  library.def(
      "cascaded_group_attention(Tensor input, Tensor[] qkv, Tensor[] qkv_bias, Tensor[] depthwise, Tensor[] "
      "depthwise_bias, Tensor bias, float scale) -> Tensor",
      by_operator);
}

}  // namespace pollard::kernels
