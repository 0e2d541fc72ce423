// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "graph/program.h"
#include "models/io/file.h"

namespace pollard::models::io {

/// A tensor in a file, described without reading its data.
struct TensorInfo {
  std::string name;
  graph::DType dtype = graph::DType::Unknown;
  std::vector<std::int64_t> shape;
  std::uint64_t offset = 0;  ///< of its first byte in the file; 0 where the data is not one run of bytes
  std::uint64_t bytes = 0;
};

struct SafetensorsHeader {
  std::vector<TensorInfo> tensors;              ///< in the order of their data
  std::map<std::string, std::string> metadata;  ///< "__metadata__"
};

/// Reads and checks the header of a safetensors file (8-byte length, JSON, data), as the format's README
/// defines it and stricter than its reference implementation: nothing twice, nothing unknown, nothing before
/// '{', only spaces after '}', names without control characters, rank <= 16, dims <= 2^40, and tensors that
/// cover the data without gap or overlap. `lenient` ignores unknown fields of an entry.
///
/// Throws E0303 (another kind of file), E0310 (length), E0311 (text or JSON), E0312 (entries), E0313
/// (offsets), E0314 (shapes), E0315 (names), E0421 (element type; Exit::Unsupported).
SafetensorsHeader read_safetensors_header(const ByteSource& source, bool lenient = false);

/// Whether the first eight bytes may be the length of a safetensors header; no text or known format begins
/// so.
bool plausible_safetensors(std::span<const std::byte> head);

/// "F32", "BF16", ... and back.
std::optional<std::string_view> safetensors_name(graph::DType dtype);
std::optional<graph::DType> safetensors_dtype(std::string_view name);
/// "BOOL, U8, ...": every element type that can be read.
std::string safetensors_dtype_list();
/// Position of a type in the format's order of alignment; tensors are written in descending order of it.
int safetensors_rank(graph::DType dtype);

}  // namespace pollard::models::io
