// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "graph/program.h"

/// The numbers and names of torch.export's serialized form (schema 8; LibTorch documents it in
/// torch/csrc/utils/generated_serialization_types.h).
namespace pollard::models::io::pt2 {

constexpr std::int64_t kSchemaMajor = 8;
constexpr std::int64_t kSchemaMinor = 20;

std::optional<graph::DType> dtype_from_code(std::int64_t code);
std::int64_t code_of(graph::DType dtype);
/// "strided", "sparse_coo", ...
std::optional<std::string> layout_from_code(std::int64_t code);
std::int64_t layout_code(std::string_view name);
/// "contiguous", "channels_last", "channels_last_3d", "preserve"
std::optional<std::string> memory_format_from_code(std::int64_t code);
std::int64_t memory_format_code(std::string_view name);

/// NamedArgument.kind
enum class ArgumentKind : std::int64_t { Unknown = 0, Positional = 1, Keyword = 2 };

constexpr std::string_view kWeightsDir = "data/weights/";
constexpr std::string_view kConstantsDir = "data/constants/";
constexpr std::string_view kExtraDir = "extra/";

}  // namespace pollard::models::io::pt2
