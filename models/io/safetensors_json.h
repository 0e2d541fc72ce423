// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace pollard::models::io {

/// One entry of a safetensors header as its JSON says it, before any number is believed.
struct RawTensor {
  std::string name;
  std::string dtype;
  std::vector<std::uint64_t> shape;
  std::vector<std::uint64_t> offsets;  ///< two, from the start of the data
  std::uint64_t position = 0;          ///< byte offset of the entry's name in the file
};

struct RawHeader {
  std::vector<RawTensor> tensors;
  std::map<std::string, std::string> metadata;
};

/// Parses the JSON of a safetensors header that begins at byte `start` of the file `subject`. Nesting stays
/// below 8 and nothing recurses. Throws E0311 (not JSON of this form), E0312 (a duplicate, unknown or missing
/// field).
RawHeader parse_safetensors_json(std::string_view json, const std::string& subject, std::uint64_t start,
                                 bool lenient);

}  // namespace pollard::models::io
