// SPDX-License-Identifier: Apache-2.0
#include "models/layers/cascaded_attention.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/relu.h>

#include <cmath>

#include "models/layers/attention.h"
#include "models/layers/windows.h"

namespace pollard::models {
namespace {

at::Tensor distances(std::int64_t side) {
  const at::Tensor place = at::arange(side * side);
  const at::Tensor y = place.floor_divide(side), x = place.remainder(side);
  const auto apart = [](const at::Tensor& t) { return t.unsqueeze(1).sub(t.unsqueeze(0)).abs(); };
  return apart(y).mul(side).add(apart(x)).flatten();
}

}  // namespace

CascadedAttention::CascadedAttention(const Options& o)
    : width(o.width),
      heads(std::ssize(o.kernels)),
      key_dim(o.key_dim),
      side(o.side),
      proj(width / heads * heads, width) {
  parameter("attn.attention_biases", biases, {heads, side * side});
  buffer("attn.attention_bias_idxs", index, distances(side), false);
  for (const std::int64_t kernel : o.kernels) {
    qkvs.emplace(width / heads, 2 * key_dim + width / heads);
    dws.emplace(key_dim, key_dim, kernel, 1, key_dim);
  }
  children({{"attn.qkvs", qkvs}, {"attn.dws", dws}, {"attn.proj.1", proj}});
}

at::Tensor CascadedAttention::operator()(const at::Tensor& x) const {
  if (x.size(2) == side && x.size(3) == side) return cascade(x);
  const Windows windows(x.permute({0, 2, 3, 1}), {side, side});
  const at::Tensor parts = windows.parts().transpose(1, 2).reshape({windows.count(), x.size(1), side, side});
  return windows.join(cascade(parts).flatten(2).transpose(1, 2)).permute({0, 3, 1, 2});
}

at::Tensor CascadedAttention::cascade(const at::Tensor& x) const {
  const std::int64_t n = side * side;
  const at::Tensor bias = at::index_select(biases, 1, index).view({heads, n, n});
  const auto chunks = x.chunk(heads, 1);
  std::vector<at::Tensor> out;
  for (std::size_t h = 0; h < chunks.size(); ++h)
    out.push_back(head(h, h == 0 ? chunks[0] : chunks[h].add(out.back()),
                       bias.select(0, static_cast<std::int64_t>(h))));
  return proj(at::relu(at::cat(out, 1)));
}

at::Tensor CascadedAttention::head(std::size_t h, const at::Tensor& x, const at::Tensor& bias) const {
  const auto qkv = qkvs[h](x).split_with_sizes({key_dim, key_dim, width / heads}, 1);
  const auto tokens = [](const at::Tensor& t) { return t.flatten(2).transpose(1, 2); };
  const double scale = 1 / std::sqrt(static_cast<double>(key_dim));
  const at::Tensor o =
      attention(tokens(dws[h](qkv[0])), tokens(qkv[1]), tokens(qkv[2]), {.mask = bias, .scale = scale});
  return o.transpose(1, 2).reshape({x.size(0), width / heads, side, side});
}

}  // namespace pollard::models
