// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "graph/program.h"
#include "models/polynomial.h"

namespace pollard::models {

/// Where a symbolic size can be read off, and the range it may take.
struct SymbolSource {
  graph::Symbol symbol;
  std::size_t input;  ///< index among the user inputs
  std::int64_t dimension;
};

/// One program for all sizes from programs traced at several: integers that differ between the traces become
/// polynomials of the symbols, computed by aten.sym_size.int and _operator ops where they are arguments, and written
/// into the shapes of values. traces[i] was taken at fit.points()[i]; the first gives the example sizes.
/// Throws UserError E0413, naming the op, when the traces run different ops or an argument is no such polynomial.
graph::Program generalise(const std::vector<graph::Program>& traces, const PolynomialFit& fit,
                          const std::vector<SymbolSource>& symbols);

}  // namespace pollard::models
