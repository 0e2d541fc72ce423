// SPDX-License-Identifier: Apache-2.0
#include "models/onnx/element_type.h"

#include <array>
#include <string>
#include <utility>

#include "graph/error.h"

namespace pollard::models::onnx {

std::int64_t element_type(graph::DType dtype) {
  using enum graph::DType;
  static constexpr auto kTypes = std::to_array<std::pair<graph::DType, std::int64_t>>({{Float32, 1},
                                                                                       {UInt8, 2},
                                                                                       {Int8, 3},
                                                                                       {UInt16, 4},
                                                                                       {Int16, 5},
                                                                                       {Int32, 6},
                                                                                       {Int64, 7},
                                                                                       {Bool, 9},
                                                                                       {Float16, 10},
                                                                                       {Float64, 11},
                                                                                       {UInt32, 12},
                                                                                       {UInt64, 13},
                                                                                       {BFloat16, 16}});
  for (const auto& [ours, theirs] : kTypes)
    if (ours == dtype) return theirs;
  throw UserError({.code = "E0421",
                   .exit = Exit::Unsupported,
                   .subject = std::string(graph::to_string(dtype)),
                   .message = "ONNX has no such element type"});
}

}  // namespace pollard::models::onnx
