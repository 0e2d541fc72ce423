// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "graph/program.h"

/// What a tensor from a file may be: larger numbers are mistakes or attacks.
namespace pollard::models::io {

inline constexpr std::size_t kLongestName = 1024;  ///< bytes
inline constexpr std::size_t kMostDims = 16;
inline constexpr std::uint64_t kLargestDim = std::uint64_t{1} << 40;

/// Bytes of a contiguous tensor. nullopt, and the reason in `problem`, when the rank or a dimension is too
/// large or the product overflows.
std::optional<std::uint64_t> tensor_bytes(std::span<const std::uint64_t> shape, graph::DType dtype,
                                          std::string& problem);

/// "[2, 3]".
std::string shape_text(std::span<const std::int64_t> shape);

}  // namespace pollard::models::io
