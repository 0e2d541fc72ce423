// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <string>
#include <vector>

#include "graph/program.h"

/// The nesting of a call's inputs and outputs (Python's pytree specs).
namespace pollard::models::io::pt2 {

/// The program's own specs, or plain ones for a program without: positional inputs; one tensor or a tuple out.
graph::CallSpec call_spec(const graph::Program& program);

/// What torch.save((args, kwargs)) writes for these user tensors: a zip archive of its own, nested as the program's
/// in_spec says. Empty, which torch.export.load takes for "none", when there are no tensors or the nesting has
/// types other than tuple, list and dict.
std::vector<std::byte> write_sample_inputs(const graph::Program& program,
                                           const std::vector<at::Tensor>& tensors);

}  // namespace pollard::models::io::pt2
