// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "models/module.h"

namespace pollard::models {

/// Rotary position embedding (Su et al., 2021, arXiv 2104.09864): at position t the pair j of channels turns by the
/// angle t * inv_freq[j], with inv_freq[j] = base^(-2j / width). The frequencies are a buffer, so pruning a pair
/// slices them too.
struct Rotary : Module {
  /// Which channels of x [.., T, width] are a pair: Halves j and j + width/2 (Llama), Neighbours 2j and 2j + 1 (GPT-J).
  enum class Pairs : std::uint8_t { Halves, Neighbours };
  struct Angles {
    at::Tensor cosine, sine;  ///< [T, width] for Halves, [T, width / 2] for Neighbours
  };

  at::Tensor inv_freq;  ///< [width / 2]
  Pairs pairs;
  Rotary(std::int64_t width, double base, Pairs pairs);
  Rotary(at::Tensor frequencies, Pairs pairs);
  Angles angles(const at::Tensor& positions) const;
  at::Tensor operator()(const at::Tensor& x, const Angles& angles) const;
};

/// base^(-2j / width) for j < width / 2, float32.
at::Tensor rotary_frequencies(std::int64_t width, double base);

}  // namespace pollard::models
