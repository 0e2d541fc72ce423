// SPDX-License-Identifier: Apache-2.0
#include "models/io/pickle_names.h"

#include <array>
#include <utility>

namespace pollard::models::io::pickle {
namespace {

using graph::DType;

template <class T>
using Names = std::pair<std::string_view, T>;

constexpr std::array<Names<Callable>, 6> kCallables{{
    {"collections\nOrderedDict", Callable::OrderedDict},
    {"torch._utils\n_rebuild_tensor_v2", Callable::RebuildTensorV2},
    {"torch._utils\n_rebuild_tensor_v3", Callable::RebuildTensorV3},
    {"torch._utils\n_rebuild_parameter", Callable::RebuildParameter},
    {"torch.nn.parameter\nParameter", Callable::Parameter},
    {"torch._tensor\n_rebuild_from_type_v2", Callable::RebuildFromType},
}};

constexpr std::array<Names<DType>, 13> kStorages{{
    {"torch\nFloatStorage", DType::Float32},
    {"torch\nLongStorage", DType::Int64},
    {"torch\nHalfStorage", DType::Float16},
    {"torch\nBFloat16Storage", DType::BFloat16},
    {"torch\nDoubleStorage", DType::Float64},
    {"torch\nIntStorage", DType::Int32},
    {"torch\nShortStorage", DType::Int16},
    {"torch\nCharStorage", DType::Int8},
    {"torch\nByteStorage", DType::UInt8},
    {"torch\nBoolStorage", DType::Bool},
    {"torch\nComplexFloatStorage", DType::Complex64},
    {"torch\nComplexDoubleStorage", DType::Complex128},
    {"torch.storage\nUntypedStorage", DType::Unknown},
}};

constexpr std::array<Names<DType>, 19> kDTypes{{
    {"torch\nfloat32", DType::Float32},
    {"torch\nfloat16", DType::Float16},
    {"torch\nbfloat16", DType::BFloat16},
    {"torch\nfloat64", DType::Float64},
    {"torch\nint64", DType::Int64},
    {"torch\nint32", DType::Int32},
    {"torch\nint16", DType::Int16},
    {"torch\nint8", DType::Int8},
    {"torch\nuint8", DType::UInt8},
    {"torch\nuint16", DType::UInt16},
    {"torch\nuint32", DType::UInt32},
    {"torch\nuint64", DType::UInt64},
    {"torch\nbool", DType::Bool},
    {"torch\nfloat8_e4m3fn", DType::Float8E4M3},
    {"torch\nfloat8_e5m2", DType::Float8E5M2},
    {"torch\ncomplex32", DType::Complex32},
    {"torch\ncomplex64", DType::Complex64},
    {"torch\ncomplex128", DType::Complex128},
    {"torch\nchalf", DType::Complex32},
}};

template <class Table>
auto lookup(const Table& table, std::string_view name)
    -> std::optional<typename Table::value_type::second_type> {
  for (const auto& [known, value] : table)
    if (known == name) return value;
  return std::nullopt;
}

}  // namespace

Callable find_callable(std::string_view name) { return lookup(kCallables, name).value_or(Callable::Foreign); }

std::optional<DType> find_storage(std::string_view name) { return lookup(kStorages, name); }

std::optional<DType> find_dtype(std::string_view name) { return lookup(kDTypes, name); }

bool is_known(std::string_view name) {
  return find_callable(name) != Callable::Foreign || find_storage(name) || find_dtype(name);
}

}  // namespace pollard::models::io::pickle
