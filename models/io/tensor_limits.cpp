// SPDX-License-Identifier: Apache-2.0
#include "models/io/tensor_limits.h"

#include "models/io/bytes.h"

namespace pollard::models::io {

std::optional<std::uint64_t> tensor_bytes(std::span<const std::uint64_t> shape, graph::DType dtype,
                                          std::string& problem) {
  if (shape.size() > kMostDims) {
    problem =
        "rank " + std::to_string(shape.size()) + "; at most " + std::to_string(kMostDims) + " are allowed";
    return std::nullopt;
  }
  std::optional<std::uint64_t> bytes = static_cast<std::uint64_t>(graph::dtype_size(dtype));
  bool empty = false;
  for (const std::uint64_t dim : shape) {
    if (dim > kLargestDim) {
      problem = "a dimension of " + std::to_string(dim) + "; at most 2^40 are allowed";
      return std::nullopt;
    }
    empty = empty || dim == 0;
    if (bytes && dim != 0) bytes = checked_mul(*bytes, dim);
  }
  // Strides are signed, and those of an empty tensor are products too.
  if (bytes && *bytes > static_cast<std::uint64_t>(INT64_MAX)) bytes.reset();
  if (!bytes) problem = "the product of its dimensions overflows";
  return bytes && empty ? 0 : bytes;
}

std::string shape_text(std::span<const std::int64_t> shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i > 0 ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

}  // namespace pollard::models::io
