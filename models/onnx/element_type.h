// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "graph/program.h"

namespace pollard::models::onnx {

/// TensorProto.DataType of an element type. Throws UserError E0421 for one that ONNX does not have.
std::int64_t element_type(graph::DType dtype);

}  // namespace pollard::models::onnx
