// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "models/io/safetensors.h"
#include "models/model.h"

namespace pollard::models::io {

/// The metadata key under which a .safetensors file carries the program its tensors belong to: pruned networks and
/// exported ones have no family to be rebuilt from, and need no flag to be read again.
inline constexpr const char* kStoredProgram = "pollard.program";
/// Tensors the program needs that are in no state dict (constants, buffers kept out of it) are stored under this prefix.
inline constexpr const char* kStoredConstant = "pollard.constant.";

/// The program as JSON text: torch.export's serialized form, and which names are one tensor.
std::string stored_program(const graph::Program& program);

/// The model of a file that carries its program. Throws UserError E0360 when the text is no such program, E0361 when
/// a tensor is missing or has another shape or type than the program says.
Model read_stored_program(const std::string& text, TensorMap tensors, const std::string& subject);

}  // namespace pollard::models::io
