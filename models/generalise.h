// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
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
/// into the shapes of values. Of all traces but the first only their numbers are kept.
class Generaliser {
 public:
  Generaliser(const PolynomialFit& fit, const std::vector<SymbolSource>& symbols);
  ~Generaliser();
  Generaliser(const Generaliser&) = delete;
  Generaliser& operator=(const Generaliser&) = delete;

  /// The trace at the next of fit.points(); the first gives the example sizes. Throws UserError E0413, naming the op, when
  /// it runs other ops than the first.
  void add(graph::Program trace);

  /// After a trace at every point. Throws UserError E0413, naming the op, when an argument is no polynomial.
  graph::Program finish();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pollard::models
