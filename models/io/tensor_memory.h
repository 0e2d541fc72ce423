// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <span>
#include <string>

#include "graph/program.h"

namespace pollard::models::io {

/// A contiguous CPU tensor with memory of its own, not yet filled. Throws E0504 when there is not enough
/// memory.
at::Tensor new_tensor(at::IntArrayRef shape, graph::DType dtype);

/// The elements of a contiguous CPU tensor as bytes.
std::span<std::byte> tensor_data(const at::Tensor& tensor);

/// Throws E0351 when a Bool tensor read from `subject` holds another byte than 0 or 1, which C++ could not
/// compute with. Other types hold a valid number whatever their bytes are.
void check_booleans(const at::Tensor& tensor, const std::string& subject, const std::string& name);

/// Hands memory that was freed but is kept for reuse back to the system: before tensors take theirs.
void give_back_free_memory();

}  // namespace pollard::models::io
