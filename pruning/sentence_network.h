// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <functional>
#include <string_view>
#include <utility>

namespace pollard::pruning {

/// LN(w) -> Linear(w, m) -> LeakyReLU(0.01) -> LN(m) -> Linear(m, out): one sequence as one row (attention_to_ffn.h).
class SentenceNetwork {
 public:
  /// Fresh, float32: norms one and zero, linear layers U(-1/sqrt(in), 1/sqrt(in)).
  SentenceNetwork(std::int64_t width, std::int64_t hidden, std::int64_t out, std::uint64_t seed);

  at::Tensor operator()(const at::Tensor& rows) const;  ///< [N, width] -> [N, out]

  using Named = std::pair<std::string_view, at::Tensor>;
  /// layers.0 and 3 are the norms, 1 and 4 the linear layers, as the authors name them.
  std::array<Named, 8> parameters() const;

 private:
  at::Tensor norm0_weight_, norm0_bias_, widen_weight_, widen_bias_;
  at::Tensor norm3_weight_, norm3_bias_, narrow_weight_, narrow_bias_;
};

/// What an attention layer read and made for every sample, padding already zero.
struct SentencePairs {
  at::Tensor x;        ///< [N, positions x d]
  at::Tensor y;        ///< [N, positions x width]
  at::Tensor present;  ///< [N, positions x width]: 1 where y counts, else 0
};
SentencePairs rows(const SentencePairs& pairs, std::int64_t first, std::int64_t end);

/// |f(x) - y| / |y| over what counts.
double relative_error(const SentenceNetwork& network, const SentencePairs& pairs);

struct AdamOptions {
  int epochs = 21;
  double learning_rate = 1e-4;
  std::int64_t batch = 32;
  std::uint64_t seed = 0;
};

/// Mean squared error over what counts, samples in a new order each epoch. `after_epoch` is told the epochs done.
void train(SentenceNetwork& network, const SentencePairs& pairs, const AdamOptions& options,
           const std::function<void(int)>& after_epoch);

}  // namespace pollard::pruning
