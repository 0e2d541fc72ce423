// SPDX-License-Identifier: Apache-2.0
#include "models/families/pathformer_expert.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/softmax.h>

#include <cmath>
#include <vector>

namespace pollard::models::pathformer_parts {

namespace {

constexpr std::int64_t kInner = 10, kMemory = 16, kHidden = 64, kHeads = 2;

std::string numbered(const char* name, std::size_t i) { return name + std::to_string(i); }

}  // namespace

VariateWeights::VariateWeights(std::int64_t variates, std::int64_t width)
    : first(kMemory, kHidden), second(kHidden, kHidden), third(kHidden, kInner * kInner) {
  parameter("memory", memory, {variates, kMemory}, Init::normal(1));
  for (const std::size_t i : {0, 1}) {
    const Init init = Init::kaiming_uniform(std::sqrt(5.0));
    parameter(numbered("P.", i), left[i], {width, kInner}, init);
    parameter(numbered("Q.", i), right[i], {kInner, width}, init);
    parameter(numbered("B.", i), biases[i], {kInner * kInner, width}, init);
  }
  children({{"generator.0", first}, {"generator.2", second}, {"generator.4", third}});
}

at::Tensor VariateWeights::generate() const {
  const auto tanh = [](const at::Tensor& x) { return activate(x, Activation::Tanh); };
  return third(tanh(second(tanh(first(memory)))));
}

VariateWeights::Linear VariateWeights::of(std::size_t which, const at::Tensor& made) const {
  const at::Tensor middle = made.view({made.size(0), kInner, kInner});
  return {at::matmul(at::matmul(left[which], middle), right[which]),
          at::matmul(made, biases[which]).unsqueeze(1)};
}

PatchAttention::PatchAttention(std::int64_t patch, std::int64_t width)
    : query(patch * width, patch * width),
      key(patch * width, patch * width),
      value(patch * width, patch * width),
      out(patch * width, patch * width),
      heads(width) {
  parameter("sdp_attn.scale", scale, {}, Init::constant(1 / std::sqrt(static_cast<double>(patch))));
  children({{"W_Q", query}, {"W_K", key}, {"W_V", value}, {"to_out.0", out}});
}

at::Tensor PatchAttention::operator()(const at::Tensor& x) const {
  const at::Tensor keys = split_heads(key(x), heads).transpose(-2, -1);
  const at::Tensor logits = at::matmul(split_heads(query(x), heads), keys).mul(scale);
  return out(merge_heads(at::matmul(at::softmax(logits, -1), split_heads(value(x), heads))));
}

Expert::Expert(std::int64_t p, const PathformerSpec& s)
    : weights(s.num_nodes, s.d_model),
      over_patches(s.seq_len / p, s.seq_len),
      embed(p * s.d_model, p * s.d_model),
      widen(s.d_model, s.d_ff),
      narrow(s.d_ff, s.d_model),
      patches(p, s.d_model),
      norm1(s.d_model),
      norm2(s.d_model),
      patch(p),
      normalise(s.batch_norm != 0) {
  const std::int64_t count = s.seq_len / p, width = s.d_model;
  parameter("intra_embeddings", embeddings, {count, 1, 1, s.num_nodes, kMemory}, Init::normal(1));
  parameter("W_pos", positions, {count, p * width}, Init::uniform(0.02));
  for (const std::size_t i : {0, 1}) {
    parameter(numbered("weights_generator_shared.P.", i), shared[i], {width, width},
              Init::kaiming_uniform(std::sqrt(5.0)));
    parameter(numbered("weights_generator_shared.B.", i), shared_bias[i], {1, width}, Init::zeros());
  }
  for (std::int64_t i = 0; i < count; ++i)
    child("embeddings_generator." + std::to_string(i) + ".0", queries.emplace(kMemory, width));
  children({{"weights_generator_distinct", weights},
            {"intra_Linear", over_patches},
            {"emb_linear", embed},
            {"inter_patch_attention", patches},
            {"norm_attn.1", norm1},
            {"norm_ffn.1", norm2},
            {"ff.0", widen},
            {"ff.3", narrow}});
}

/// In each patch one learnt query a variate looks at itself and the patch's steps.
at::Tensor Expert::within(const at::Tensor& x) const {
  const std::int64_t batch = x.size(0), variates = x.size(2), width = x.size(3), count = x.size(1) / patch;
  std::vector<at::Tensor> each;
  for (std::int64_t i = 0; i < count; ++i)
    each.push_back(queries[static_cast<std::size_t>(i)](embeddings.select(0, i)));
  const at::Tensor query =
      at::cat(each, 0).unsqueeze(0).expand({batch, count, 1, variates, width});  // [B, n, 1, N, d]
  const at::Tensor seen = at::cat({query, x.view({batch, count, patch, variates, width})}, 2).transpose(2, 3);
  const at::Tensor made = weights.generate();
  const auto keys = weights.of(0, made), values = weights.of(1, made);
  const auto heads = [&](const at::Tensor& t) {  // [B, n, N, T, d] -> [B n N, 2, T, d / 2]
    return split_heads(t.reshape({batch * count * variates, t.size(3), width}), kHeads);
  };
  const at::Tensor mixed =
      attention(heads(query.transpose(2, 3)), heads(at::matmul(seen, keys.weight).add(keys.bias)),
                heads(at::matmul(seen, values.weight).add(values.bias)));
  const at::Tensor a = merge_heads(mixed).view({batch, count, variates, width});
  const at::Tensor b = activate(at::matmul(a, shared[0]).add(shared_bias[0]), Activation::Relu);
  const at::Tensor c = at::matmul(b, shared[1]).add(shared_bias[1]);
  return over_patches(c.permute({0, 3, 2, 1})).permute({0, 3, 2, 1});
}

/// A patch's numbers are taken channel by channel and given back step by step, and patches and variates change places
/// by reading the memory anew: so the reference does it.
at::Tensor Expert::among(const at::Tensor& x) const {
  const std::int64_t batch = x.size(0), length = x.size(1), variates = x.size(2), width = x.size(3);
  const at::Tensor tokens = x.view({batch, length / patch, patch, variates, width})
                                .permute({0, 3, 1, 4, 2})
                                .reshape({batch * variates, length / patch, width * patch});
  return patches(embed(tokens).add(positions)).reshape({batch, length, variates, width});
}

at::Tensor Expert::operator()(const at::Tensor& x) const {
  const auto normed = [&](const BatchNorm& norm, const at::Tensor& t) {
    if (!normalise) return t;
    const at::Tensor rows = t.reshape({t.size(0) * t.size(2), t.size(1), t.size(3)});
    return norm(rows.transpose(1, 2)).transpose(1, 2).reshape({t.size(0), t.size(1), t.size(2), t.size(3)});
  };
  const at::Tensor a = normed(norm1, x.add(within(x)).add(among(x)));
  return normed(norm2, narrow(activate(widen(a), Activation::Gelu)).add(a));
}

}  // namespace pollard::models::pathformer_parts
