// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "models/incremental.h"
#include "models/model.h"

namespace pollard::models {

struct GenerateOptions {
  std::int64_t max_tokens = 50;  ///< new ones
  double temperature = 0;        ///< 0 takes the likeliest token every time
  std::int64_t top_k = 0;        ///< only the k likeliest; 0 = all
  double top_p = 1;  ///< only the likeliest that together reach p (Holtzman et al., 2020, arXiv 1904.09751)
  std::uint64_t seed = 0;          ///< of the drawing
  std::vector<std::int64_t> stop;  ///< tokens that end the text; they are not part of it
  bool cache = true;  ///< run each token once and keep keys and values; otherwise the whole text each time
};

/// Continues texts with a decoder language model, any program that maps ids [1, L] to logits [1, L, V]: a built-in
/// family or an exported network, dense or pruned.
///
///     Generator generator(model);
///     std::vector<std::int64_t> more = generator.run(prompt, {.max_tokens = 20});
class Generator {
 public:
  /// Makes the program for single tokens and proves it on a few: its logits must be the whole program's. Without
  /// `cached` neither. Throws UserError E0450 or E0451.
  explicit Generator(const Model& model, bool cached = true);

  using Seen = std::function<void(std::int64_t token)>;
  /// The new tokens. `seen` hears each as soon as it is there. Throws UserError E0203 for an empty prompt, ids
  /// outside the vocabulary, or a prompt longer than the model takes; ends early at that length.
  std::vector<std::int64_t> run(std::vector<std::int64_t> prompt, const GenerateOptions& options,
                                const Seen& seen = {}) const;

  /// Logits [1, t, V] of new tokens after `past` (keys and values, empty at first), which grows by them.
  at::Tensor step(const std::vector<std::int64_t>& tokens, std::vector<at::Tensor>& past) const;
  /// Logits [1, L, V] of a whole text.
  at::Tensor whole(const std::vector<std::int64_t>& tokens) const;

  std::optional<std::int64_t> longest() const { return longest_; }

 private:
  void check_prompt(const std::vector<std::int64_t>& prompt) const;
  void prove() const;

  const kernels::Weights& weights_;
  kernels::Executor whole_;
  std::optional<kernels::Executor> step_;
  std::optional<std::int64_t> longest_;
  std::int64_t vocabulary_ = 0;
};

/// The next token by logits [V]. `draw` in [0, 1) decides when the temperature is above 0.
std::int64_t choose_token(const at::Tensor& logits, const GenerateOptions& options, double draw);

}  // namespace pollard::models
