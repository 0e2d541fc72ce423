// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ops/cat.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/leaky_relu.h>

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "models/families/rethinking_attention_spec.h"
#include "models/layers/attention.h"

namespace pollard::models::rethinking {

/// Which words of a batch of sentences count: once as numbers, once as a mask of attention.
struct Words {
  at::Tensor present;  ///< [B, S, 1]: 1 or 0, in the network's type
  at::Tensor allowed;  ///< [B, 1, S or T, S]: where a query may look
};

/// The replacing network over whole sentences: LN -> Linear -> LeakyReLU -> LN -> Linear.
struct SentenceNetwork : Module {
  LayerNorm first, second;
  Linear widen, narrow;
  std::int64_t longest;  ///< MAX_LEN
  SentenceNetwork(const RethinkingSpec& s, std::int64_t out)
      : first(s.input_width()),
        second(s.hidden_size),
        widen(s.input_width(), s.hidden_size),
        narrow(s.hidden_size, out),
        longest(s.MAX_LEN) {
    children({{"layers.0", first}, {"layers.1", widen}, {"layers.3", second}, {"layers.4", narrow}});
  }
  at::Tensor operator()(const at::Tensor& flat) const {
    return narrow(second(at::leaky_relu(widen(first(flat)), 0.01)));
  }
  /// [B, S, d] -> [B, MAX_LEN d], the missing words zeros.
  at::Tensor flat(const at::Tensor& x) const {
    return at::constant_pad_nd(x, {0, 0, 0, longest - x.size(1)}).view({x.size(0), longest * x.size(2)});
  }
  /// The first `words` rows of [B, MAX_LEN width].
  at::Tensor rows(const at::Tensor& y, std::int64_t words) const {
    return y.view({y.size(0), longest, y.size(1) / longest}).slice(1, 0, words);
  }
  /// Sentence in, sentence out; padding neither read nor written.
  at::Tensor operator()(const at::Tensor& x, const at::Tensor& present) const {
    return rows((*this)(flat(x.mul(present))), x.size(1)).mul(present);
  }
};

/// Attention, or what stands for it; the projection of the result stays either way.
struct MultiHeaded : Module {
  std::optional<Linear> query, key, value;
  std::optional<SentenceNetwork> whole;    // ALR
  ModuleList<SentenceNetwork> one_a_head;  // ALSR
  Linear out;
  std::int64_t heads;
  double p;
  MultiHeaded(const RethinkingSpec& s, std::string_view place, std::int64_t layer)
      : out(s.model_dimension, s.model_dimension), heads(s.number_of_heads), p(s.dropout) {
    const std::int64_t d = s.model_dimension;
    if (s.replaces("ALR", place, layer)) {
      child("attention.ff", whole.emplace(s, place == "decoder_self" ? d : s.sentence()));
    } else if (s.replaces("ALSR", place, layer)) {
      while (std::ssize(one_a_head) < heads) one_a_head.emplace(s, s.sentence() / heads);
      child("attention.ff_list", one_a_head);
    } else {
      child("qkv_nets.0", query.emplace(d, d));
      child("qkv_nets.1", key.emplace(d, d));
      child("qkv_nets.2", value.emplace(d, d));
    }
    child("out_projection_net", out);
  }

  /// The encoder's own attention.
  at::Tensor operator()(const at::Tensor& x, const Words& words) const {
    if (whole) return out((*whole)(x, words.present));
    if (one_a_head.size() == 0) return attend(x, x, words.allowed);
    std::vector<at::Tensor> parts;
    for (const auto& network : one_a_head) parts.push_back((*network)(x, words.present));
    return out(at::cat(parts, 2));
  }
  /// The decoder's own: position i's network sees the words up to i.
  at::Tensor causal(const at::Tensor& x, const Words& words) const {
    if (!whole) return attend(x, x, words.allowed);
    const std::int64_t batch = x.size(0), length = x.size(1), width = x.size(2);
    const at::Tensor seen = words.allowed.squeeze(1).unsqueeze(-1).to(x.scalar_type());
    const at::Tensor each =
        x.unsqueeze(1).mul(seen).reshape({batch * length, length, width});  // what each position sees
    return out((*whole)(whole->flat(each)).view({batch, length, width}).mul(words.present));
  }
  /// The decoder's attention to the encoder: the network reads both sentences.
  at::Tensor across(const at::Tensor& x, const at::Tensor& encoded, const Words& source,
                    const Words& target) const {
    if (!whole) return attend(x, encoded, source.allowed);
    const at::Tensor both = at::cat({whole->flat(encoded), whole->flat(x)}, 1);
    return out(whole->rows((*whole)(both), x.size(1)).mul(target.present));
  }

 private:
  at::Tensor attend(const at::Tensor& x, const at::Tensor& from, const at::Tensor& mask) const {
    return out(merge_heads(attention(split_heads((*query)(x), heads), split_heads((*key)(from), heads),
                                     split_heads((*value)(from), heads),
                                     {.mask = mask, .dropout = training() ? p : 0})));
  }
};

}  // namespace pollard::models::rethinking
