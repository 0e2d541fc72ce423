// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/function_schema.h>
#include <ATen/core/ivalue.h>

#include <functional>

#include "graph/program.h"

namespace pollard::models {

using TensorToValue = std::function<graph::Arg(const at::Tensor&)>;

/// An argument of a dispatcher call, by its schema type: dtypes, layouts and memory formats are integers in the call.
/// The meta device becomes the CPU. `value_of` names a defined tensor. Throws std::domain_error for a type no
/// program can hold.
graph::Arg to_arg(const c10::IValue& value, const c10::Argument& argument, const TensorToValue& value_of);

/// Removes arguments that equal their schema default, as torch.export does: keyword arguments anywhere, positional
/// ones only behind the last that differs.
void drop_defaults(graph::Op& op);

}  // namespace pollard::models
