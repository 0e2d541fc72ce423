// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "graph/removal.h"

namespace pollard::graph {

/// Size and work of a program at given widths. Exact: nothing is run, no weights are read.
struct Cost {
  std::int64_t parameters = 0;  ///< elements of all parameters, tied ones once
  std::int64_t parameter_bytes = 0;
  std::int64_t stored_bytes = 0;           ///< parameters, persistent buffers and constants
  std::int64_t macs = 0;                   ///< multiply-accumulates at the example input
  std::int64_t peak_activation_bytes = 0;  ///< most bytes of live activations between two ops
};

/// Parameters, MACs and memory as polynomials in the axis widths, compiled once for fast evaluation:
/// the budget solver evaluates it for every candidate.
class CostModel {
 public:
  CostModel(const Program& program, const Dependencies& dependencies);

  std::int64_t parameters(const Widths& widths) const;
  std::int64_t macs(const Widths& widths) const;
  /// MACs of each op, by op index.
  std::vector<std::int64_t> macs_by_op(const Widths& widths) const;
  Cost evaluate(const Widths& widths) const;
  /// Parameters and MACs that each axis has a part in: what goes when all of its units and no others do. By axis index;
  /// takes time in the sizes of what the axes are in, not in axes times ops.
  std::vector<Cost> shares() const;

 private:
  /// A term flattened for evaluation: a product of sums of products ... of constants and axis widths.
  struct Node {
    enum class Kind : std::uint8_t { Constant, Width, Product, Sum } kind;
    std::int64_t value = 0;  ///< Constant: the number; Width: the axis
    std::int32_t first = 0, count = 0;
  };
  struct Monomial {
    std::int64_t coefficient;
    std::vector<std::int32_t> factors;
    std::int32_t owner;  ///< op, or input index
  };
  struct Lifetime {
    std::int32_t value, made, last;
  };

  std::int32_t compile(TermId term);
  Monomial compile(std::int64_t coefficient, const std::vector<TermId>& terms, std::int32_t owner);
  std::int64_t eval(std::int32_t node, const Widths& widths) const;
  std::int64_t eval(const Monomial& monomial, const Widths& widths) const;
  void collect_axes(std::int32_t node, std::vector<AxisIndex>& axes) const;
  void add_shares(const Monomial& monomial, Widths& widths, std::int64_t Cost::*part,
                  std::vector<Cost>& out) const;
  void compile_stored();
  void compile_activations();

  const Program& program_;
  const Dependencies& dependencies_;
  std::vector<Node> nodes_;
  std::vector<std::int32_t> children_;
  std::vector<std::int32_t> node_of_term_;
  std::vector<Monomial> stored_;  ///< owner: input index
  std::vector<Monomial> macs_;
  std::vector<Monomial> activations_;  ///< owner: index into lifetimes_
  std::vector<Lifetime> lifetimes_;
};

}  // namespace pollard::graph
