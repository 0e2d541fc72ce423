// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/ivalue.h>

#include <string_view>
#include <vector>

namespace pollard::kernels {

/// Runs one op on sizes and flags ("_operator.floordiv") with Python's meaning: floor division and modulo round
/// towards minus infinity, true division gives a float. Arguments are ints, floats or bools; so is the result.
/// Throws std::domain_error on division by zero, integer overflow or arguments the op does not take.
c10::IValue run_scalar_op(std::string_view target, const std::vector<c10::IValue>& arguments);

}  // namespace pollard::kernels
