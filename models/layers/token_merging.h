// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

namespace pollard::models {

/// Token Merging (Bolya et al., 2022, arXiv 2210.09461): every other token of a sequence (the sources, A) finds
/// its most similar one among the rest (the targets, B); the r most similar sources are merged away.
///
///     N tokens = A: 0, 2, 4, ..  B: 1, 3, 5, ..     merged: [ A without the r sources ; B ], N - r tokens
///
/// How many leave is fixed, which ones depends on the data. Written from the paper's description.
struct TokenMatching {
  at::Tensor unmerged;   ///< [B, ceil(N/2) - r] indices into A, ascending with a class token
  at::Tensor source;     ///< [B, r] indices into A
  at::Tensor target;     ///< [B, r] indices into B
  std::int64_t targets;  ///< tokens in B
  bool distill_token;

  /// [B, N, C] -> [B, N - r, C]: sources added to their targets. With a distillation token (B's first) the
  /// order is [A_0, B_0, A.., B..], so that both special tokens stay in front.
  at::Tensor merge(const at::Tensor& x) const;
  /// [B, N - r, C] -> [B, N, C]: every token back in its place, sources as copies of their targets.
  at::Tensor unmerge(const at::Tensor& y) const;
  /// [B, N]: where each token went.
  at::Tensor places() const;
};

/// The class token (0) is never a source, the distillation token (1) never a target.
struct ProtectedTokens {
  bool class_token = false, distill_token = false;
};

/// Matches by cosine similarity of `metric` [B, N, d]. r is at most half of the unprotected tokens; nothing when
/// that leaves 0.
std::optional<TokenMatching> match_tokens(const at::Tensor& metric, std::int64_t r, ProtectedTokens keep);

/// How many tokens each of `layers` layers merges: from min = r (1 - inflect) to 2 r - min in equal steps, rounded
/// down. inflect 0 is constant, -1 decreasing to 0, +1 increasing from 0.
std::vector<std::int64_t> merge_schedule(std::int64_t r, double inflect, std::int64_t layers);

/// The sizes of the tokens during one run: how many patches each stands for.
class TokenMerger {
 public:
  explicit TokenMerger(ProtectedTokens keep, bool track_source = false)
      : keep_(keep), track_source_(track_source) {}

  /// x [B, N, C] with the r best matches replaced by their mean, weighted with the tokens' sizes.
  at::Tensor operator()(const at::Tensor& x, const at::Tensor& metric, std::int64_t r);
  /// log(size) over the keys, [B, 1, 1, N], an attention mask: a token of size s counts s times. Undefined
  /// before the first merge.
  at::Tensor log_sizes() const;

  const at::Tensor& sizes() const { return sizes_; }    ///< [B, N, 1]; undefined before the first merge
  const at::Tensor& source() const { return source_; }  ///< [B, N0]: the token each input token went to

 private:
  ProtectedTokens keep_;
  bool track_source_;
  at::Tensor sizes_, source_;
};

}  // namespace pollard::models
