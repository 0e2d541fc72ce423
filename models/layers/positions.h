// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "models/module.h"

namespace pollard::models {

/// The table of Vaswani et al., 2017 (arXiv 1706.03762): [length, width], width even: row t holds at 2i
/// sin(t exp(-2i ln(10000) / width)) and at 2i+1 the cosine of the same; float32, in this order of operations.
at::Tensor sinusoidal_table(std::int64_t width, std::int64_t length);

/// The table as the persistent buffer "pe".
struct SinusoidalPositions : Module {
  at::Tensor pe;
  SinusoidalPositions(std::int64_t width, std::int64_t length);
};

}  // namespace pollard::models
