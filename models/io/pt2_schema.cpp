// SPDX-License-Identifier: Apache-2.0
#include "models/io/pt2_schema.h"

#include <array>
#include <utility>

#include "graph/error.h"

namespace pollard::models::io::pt2 {
namespace {

using graph::DType;

constexpr std::array<std::pair<std::int64_t, DType>, 18> kDTypes{{
    {1, DType::UInt8},
    {2, DType::Int8},
    {3, DType::Int16},
    {4, DType::Int32},
    {5, DType::Int64},
    {6, DType::Float16},
    {7, DType::Float32},
    {8, DType::Float64},
    {9, DType::Complex32},
    {10, DType::Complex64},
    {11, DType::Complex128},
    {12, DType::Bool},
    {13, DType::BFloat16},
    {28, DType::UInt16},
    {29, DType::Float8E4M3},
    {30, DType::Float8E5M2},
    {34, DType::UInt32},
    {35, DType::UInt64},
}};
constexpr std::array<std::pair<std::int64_t, std::string_view>, 7> kLayouts{{
    {1, "sparse_coo"},
    {2, "sparse_csr"},
    {3, "sparse_csc"},
    {4, "sparse_bsr"},
    {5, "sparse_bsc"},
    {6, "_mkldnn"},
    {7, "strided"},
}};
constexpr std::array<std::pair<std::int64_t, std::string_view>, 4> kMemoryFormats{{
    {1, "contiguous"},
    {2, "channels_last"},
    {3, "channels_last_3d"},
    {4, "preserve"},
}};

template <class Table>
auto name_of(const Table& table, std::int64_t code) {
  using Name = typename Table::value_type::second_type;
  for (const auto& [number, name] : table)
    if (number == code) return std::optional<Name>(name);
  return std::optional<Name>();
}

template <class Table, class Name>
std::int64_t number_of(const Table& table, const Name& wanted, const std::string& text) {
  for (const auto& [number, name] : table)
    if (name == wanted) return number;
  POLLARD_CHECK(false, "no code for " + text);
}

std::optional<std::string> owned(std::optional<std::string_view> name) {
  return name ? std::optional<std::string>(*name) : std::nullopt;
}

}  // namespace

std::optional<DType> dtype_from_code(std::int64_t code) { return name_of(kDTypes, code); }
std::int64_t code_of(DType dtype) { return number_of(kDTypes, dtype, std::string(graph::to_string(dtype))); }
std::optional<std::string> layout_from_code(std::int64_t code) { return owned(name_of(kLayouts, code)); }
std::int64_t layout_code(std::string_view name) { return number_of(kLayouts, name, std::string(name)); }
std::optional<std::string> memory_format_from_code(std::int64_t code) {
  return owned(name_of(kMemoryFormats, code));
}
std::int64_t memory_format_code(std::string_view name) {
  return number_of(kMemoryFormats, name, std::string(name));
}

}  // namespace pollard::models::io::pt2
