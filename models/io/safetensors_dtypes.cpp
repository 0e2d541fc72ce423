// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "models/io/safetensors_header.h"

namespace pollard::models::io {
namespace {

using graph::DType;

struct Name {
  DType dtype;
  std::string_view text;
};
/// In the order of the enumeration in safetensors/src/tensor.rs.
constexpr std::array<Name, 16> kNames{{
    {DType::Bool, "BOOL"},
    {DType::UInt8, "U8"},
    {DType::Int8, "I8"},
    {DType::Float8E5M2, "F8_E5M2"},
    {DType::Float8E4M3, "F8_E4M3"},
    {DType::Int16, "I16"},
    {DType::UInt16, "U16"},
    {DType::Float16, "F16"},
    {DType::BFloat16, "BF16"},
    {DType::Int32, "I32"},
    {DType::UInt32, "U32"},
    {DType::Float32, "F32"},
    {DType::Complex64, "C64"},
    {DType::Float64, "F64"},
    {DType::Int64, "I64"},
    {DType::UInt64, "U64"},
}};

}  // namespace

std::optional<std::string_view> safetensors_name(DType dtype) {
  for (const Name& name : kNames)
    if (name.dtype == dtype) return name.text;
  return std::nullopt;
}

std::optional<DType> safetensors_dtype(std::string_view text) {
  for (const Name& name : kNames)
    if (name.text == text) return name.dtype;
  return std::nullopt;
}

std::string safetensors_dtype_list() {
  std::string list;
  for (const Name& name : kNames) list += (list.empty() ? "" : ", ") + std::string(name.text);
  return list;
}

int safetensors_rank(DType dtype) {
  for (std::size_t i = 0; i < kNames.size(); ++i)
    if (kNames[i].dtype == dtype) return static_cast<int>(i);
  return -1;
}

}  // namespace pollard::models::io
