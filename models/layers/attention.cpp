// SPDX-License-Identifier: Apache-2.0
#include "models/layers/attention.h"

#include <ATen/ops/chunk.h>
#include <ATen/ops/dropout.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/scaled_dot_product_attention.h>

#include <vector>

namespace pollard::models {

at::Tensor split_heads(const at::Tensor& x, std::int64_t heads) {
  return x.view({x.size(0), x.size(1), heads, x.size(2) / heads}).transpose(1, 2);
}

at::Tensor merge_heads(const at::Tensor& x) {
  return x.transpose(1, 2).reshape({x.size(0), x.size(2), x.size(1) * x.size(3)});
}

at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                     const AttentionOptions& o) {
  const std::optional<at::Tensor> mask = o.mask.defined() ? std::optional(o.mask) : std::nullopt;
  return at::scaled_dot_product_attention(q, k, v, mask, o.dropout, o.causal, o.scale, o.grouped);
}

MultiheadAttention::MultiheadAttention(std::int64_t width, std::int64_t h, Bias bias, double p)
    : out_proj(width, width, bias), heads(h), dropout(p) {
  parameter("in_proj_weight", in_proj_weight, {3 * width, width}, Init::xavier_uniform());
  if (bias == Bias::Yes) parameter("in_proj_bias", in_proj_bias, {3 * width});
  child("out_proj", out_proj);
  set_init([](const std::string& key, at::IntArrayRef) {
    return key == "out_proj.bias" ? std::optional(Init::zeros()) : std::nullopt;
  });
}

at::Tensor MultiheadAttention::attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                      const at::Tensor& mask) const {
  return out_proj(merge_heads(attention(split_heads(q, heads), split_heads(k, heads), split_heads(v, heads),
                                        {.mask = mask, .dropout = training() ? dropout : 0})));
}

at::Tensor MultiheadAttention::operator()(const at::Tensor& x, const at::Tensor& mask) const {
  const auto qkv = at::linear(x, in_proj_weight, in_proj_bias).chunk(3, -1);
  return attend(qkv[0], qkv[1], qkv[2], mask);
}

at::Tensor MultiheadAttention::operator()(const at::Tensor& query, const at::Tensor& key,
                                          const at::Tensor& value, const at::Tensor& mask) const {
  const auto weights = in_proj_weight.chunk(3, 0);
  const auto biases = in_proj_bias.defined() ? in_proj_bias.chunk(3, 0) : std::vector<at::Tensor>(3);
  return attend(at::linear(query, weights[0], biases[0]), at::linear(key, weights[1], biases[1]),
                at::linear(value, weights[2], biases[2]), mask);
}

FusedAttention::FusedAttention(std::int64_t width, std::int64_t h, Bias qkv_bias, Dropout p)
    : qkv(width, 3 * width, qkv_bias), proj(width, width), heads(h), dropout(p) {
  children({{"qkv", qkv}, {"proj", proj}});
}
FusedAttention::FusedAttention(std::int64_t width, std::int64_t h, Bias qkv_bias)
    : FusedAttention(width, h, qkv_bias, Dropout{}) {}

FusedAttention::Heads FusedAttention::project(const at::Tensor& x) const {
  const auto parts = qkv(x).chunk(3, -1);
  return {split_heads(parts[0], heads), split_heads(parts[1], heads), split_heads(parts[2], heads)};
}

at::Tensor FusedAttention::attend(const Heads& h, const at::Tensor& mask) const {
  const at::Tensor y = attention(h.q, h.k, h.v, {.mask = mask, .dropout = training() ? dropout.weights : 0});
  return dropped(proj(merge_heads(y)), dropout.output, training());
}

ProjectedAttention::ProjectedAttention(std::int64_t width, std::int64_t h, double p)
    : query_projection(width, width / h * h),
      key_projection(width, width / h * h),
      value_projection(width, width / h * h),
      out_projection(width / h * h, width),
      heads(h),
      dropout(p) {
  children({{"query_projection", query_projection},
            {"key_projection", key_projection},
            {"value_projection", value_projection},
            {"out_projection", out_projection}});
}

at::Tensor ProjectedAttention::operator()(const at::Tensor& q, const at::Tensor& k,
                                          const at::Tensor& v) const {
  return out_projection(
      merge_heads(attention(split_heads(query_projection(q), heads), split_heads(key_projection(k), heads),
                            split_heads(value_projection(v), heads), {.dropout = training() ? dropout : 0})));
}

Mlp::Mlp(std::int64_t width, std::int64_t hidden, Activation act, Bias bias, std::int64_t out)
    : fc1(width, hidden, bias), fc2(hidden, out ? out : width, bias), activation(act) {
  children({{"fc1", fc1}, {"fc2", fc2}});
}

at::Tensor Mlp::operator()(const at::Tensor& x) const {
  const at::Tensor hidden = dropped(activate(fc1(x), activation), dropout, training());
  return dropped(fc2(hidden), dropout, training());
}

EncoderLayer::EncoderLayer(std::int64_t width, std::int64_t heads, std::int64_t hidden, Options o)
    : self_attn(width, heads, Bias::Yes, o.dropout),
      linear1(width, hidden),
      linear2(hidden, width),
      norm1(width, o.eps),
      norm2(width, o.eps),
      options(o) {
  children({{"self_attn", self_attn},
            {"linear1", linear1},
            {"linear2", linear2},
            {"norm1", norm1},
            {"norm2", norm2}});
}

at::Tensor EncoderLayer::dropped(const at::Tensor& x) const {
  return at::dropout(x, options.dropout, training());
}

at::Tensor EncoderLayer::feedforward(const at::Tensor& x) const {
  return dropped(linear2(dropped(activate(linear1(x), options.activation))));
}

at::Tensor EncoderLayer::operator()(const at::Tensor& x, const at::Tensor& mask) const {
  if (options.norm_first) {
    const at::Tensor a = x.add(dropped(self_attn(norm1(x), mask)));
    return a.add(feedforward(norm2(a)));
  }
  const at::Tensor a = norm1(x.add(dropped(self_attn(x, mask))));
  return norm2(a.add(feedforward(a)));
}

}  // namespace pollard::models
