// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "graph/program.h"
#include "models/io/json_reader.h"
#include "models/io/symbolic_text.h"

namespace pollard::models::io::pt2 {

/// A tensor as torch.export describes it (TensorMeta), checked: rank at most 16, sizes in [0, 2^40], an element
/// count that fits, strides not negative and as many as sizes.
struct TensorMeta {
  graph::DType dtype = graph::DType::Unknown;
  std::vector<graph::Size> shape;
  std::vector<graph::Size> strides;
  std::int64_t storage_offset = 0;
  bool requires_grad = false;
  graph::Device device;
  std::string layout = "strided";

  std::vector<std::int64_t> sizes() const;
  std::vector<std::int64_t> stride_hints() const;
  std::int64_t numel() const;
};

/// Strides of a dense row-major tensor.
std::vector<std::int64_t> contiguous_strides(const std::vector<std::int64_t>& sizes);

TensorMeta read_tensor_meta(const JsonReader& reader, const Json& json, SymbolAssumptions& assumptions);

/// A SymInt: {"as_int": 3} or {"as_expr": {"expr_str": ..., "hint": {"as_int": 3}}}.
graph::Size read_sym_int(const JsonReader& reader, const Json& json, SymbolAssumptions& assumptions);

graph::Device read_device(const JsonReader& reader, const Json& json);

/// The value a TensorMeta describes. Strides are kept only where they are not the row-major ones.
graph::Value to_value(std::string name, const TensorMeta& meta);

}  // namespace pollard::models::io::pt2
