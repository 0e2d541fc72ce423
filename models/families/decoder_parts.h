// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ops/arange.h>
#include <ATen/ops/linear.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "models/family.h"
#include "models/layers/linear.h"

namespace pollard::models {

/// The input of a decoder language model: token ids [B, T].
inline std::vector<Example> token_examples(std::int64_t vocabulary, std::int64_t positions) {
  return {{"input_ids", {batch(), sequence(positions)}, at::kLong, vocabulary}};
}

/// 0, 1, ..., T-1 for ids [B, T].
inline at::Tensor positions_of(const at::Tensor& ids) { return at::arange(ids.size(1), ids.options()); }

/// Logits over the vocabulary: the token embeddings once more (tied), or a matrix of its own.
struct LanguageHead : Module {
  std::optional<Linear> own;
  const Embedding* tokens;
  LanguageHead(Embedding& embedding, bool tied, std::int64_t width, Bias bias = Bias::No)
      : tokens(&embedding) {
    if (tied)
      tie("weight", embedding.weight);
    else
      child("", own.emplace(width, embedding.count, bias));
  }
  at::Tensor operator()(const at::Tensor& x) const { return own ? (*own)(x) : at::linear(x, tokens->weight); }
};

/// N(0, 0.02) for matrices, 0 for biases: how every family here starts.
inline std::optional<Init> decoder_init(const std::string& key, at::IntArrayRef shape) {
  if (shape.size() == 2) return Init::normal(0.02);
  return key.ends_with(".bias") ? std::optional(Init::zeros()) : std::nullopt;
}

/// What the goldens of this kind record after the logits.
inline std::vector<std::string> decoder_taps(std::string_view) {
  return {"embeddings", "layer 0", "final norm"};
}

/// Reads one number a layer; an absent list means `usual` in each.
inline void layer_sizes(Fields& f, std::string_view name, std::vector<std::int64_t>& sizes,
                        std::int64_t layers, std::int64_t usual) {
  f.integers(name, sizes, {1, 1 << 20});
  if (sizes.empty()) sizes.assign(static_cast<std::size_t>(layers), usual);
  f.require(std::ssize(sizes) == layers, "one size a layer");
}

}  // namespace pollard::models
