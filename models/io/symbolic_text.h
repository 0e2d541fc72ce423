// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace pollard::models::io {

/// Assumptions of the symbols met, by name: "positive=True, integer=True".
using SymbolAssumptions = std::map<std::string, std::string>;

/// The constructor form torch.export writes, Mul(Integer(4), Symbol('s0', positive=True, integer=True)), as people
/// write it: "4*s0". Text already in the short form is given back. nullopt when it holds anything but names,
/// numbers, arithmetic and calls, or is nested too deep: such text must not reach a Python that evaluates it.
std::optional<std::string> read_symbolic(std::string_view text, SymbolAssumptions& assumptions);

/// Back to text sympy reads with the same symbols: every name that is not called becomes Symbol('name', ...).
std::string write_symbolic(std::string_view expression, const SymbolAssumptions& assumptions);

}  // namespace pollard::models::io
