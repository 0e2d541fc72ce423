// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <utility>

#include "graph/error.h"
#include "kernels/executor.h"

namespace pollard::kernels {
namespace {

using graph::DType;

constexpr std::array<std::pair<DType, at::ScalarType>, 18> kTypes{{
    {DType::UInt8, at::kByte},
    {DType::Int8, at::kChar},
    {DType::Int16, at::kShort},
    {DType::Int32, at::kInt},
    {DType::Int64, at::kLong},
    {DType::UInt16, at::kUInt16},
    {DType::UInt32, at::kUInt32},
    {DType::UInt64, at::kUInt64},
    {DType::Float8E4M3, at::kFloat8_e4m3fn},
    {DType::Float8E5M2, at::kFloat8_e5m2},
    {DType::Float16, at::kHalf},
    {DType::BFloat16, at::kBFloat16},
    {DType::Float32, at::kFloat},
    {DType::Float64, at::kDouble},
    {DType::Complex32, at::kComplexHalf},
    {DType::Complex64, at::kComplexFloat},
    {DType::Complex128, at::kComplexDouble},
    {DType::Bool, at::kBool},
}};

}  // namespace

at::ScalarType to_scalar_type(graph::DType dtype) {
  for (const auto& [ours, theirs] : kTypes)
    if (ours == dtype) return theirs;
  POLLARD_CHECK(false, "no element type for " + std::string(graph::to_string(dtype)));
}

graph::DType from_scalar_type(at::ScalarType type) {
  for (const auto& [ours, theirs] : kTypes)
    if (theirs == type) return ours;
  return DType::Unknown;
}

}  // namespace pollard::kernels
