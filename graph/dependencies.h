// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "graph/program.h"
#include "graph/term.h"

namespace pollard::graph {

/// A dimension of a tensor value.
struct DimRef {
  ValueId value;
  std::int32_t dim = 0;
  auto operator<=>(const DimRef&) const = default;
};

/// What the terms of a value's dimensions are, and where it is not zero although masked.
struct ValueTerms {
  std::vector<TermId> dims;  ///< one a dimension
  /// Axes along which a removed unit's entries do not vanish when every parameter slab of the unit is zeroed
  /// (after a sigmoid, say). Empty for nearly all values.
  std::vector<TermId> nonvanishing;
  /// Stacked tensors (states of LSTM layers): terms of further positions, as (dimension, term). `dims` shows the first.
  std::vector<std::pair<std::int32_t, TermId>> stacked;
};

/// What a prunable axis counts, where the program tells.
enum class Role : std::uint8_t { Unit, Head, HeadDim };
std::string_view to_string(Role role);

/// A place where the masked original and the smaller program agree only by definition: the op at `op` reduces
/// over axes that may be pruned, and the reduction is then over the kept units.
struct Renormalisation {
  /// Gather: run the op on the kept units alone (norm statistics, means). Mask: zero the removed units of the
  /// operand first (sums and products of activations).
  enum class How : std::uint8_t { Gather, Mask };
  std::int32_t op = -1;
  std::string argument;  ///< the operand that is reduced
  std::int32_t dim = 0;  ///< its dimension
  How how = How::Gather;
  TermId term;  ///< the axes it concerns: the dimension's term, or a factor of it
};

/// A product of a constant and term sizes, and the op it belongs to: one summand of the multiply-accumulate count.
struct Monomial {
  std::int64_t coefficient = 1;
  std::vector<TermId> terms;
  std::int32_t op = -1;
};

/// One dimension of one parameter, buffer or constant that mentions an axis.
struct Member {
  std::int32_t input = -1;  ///< index into Program::inputs
  std::int32_t dim = 0;
  auto operator<=>(const Member&) const = default;
};

using AxisIndex = std::int32_t;

struct Axis {
  TermId term;
  std::int64_t size = 0;
  Freeze frozen;
  Role role = Role::Unit;
  bool renormalised = false;    ///< some norm or mean reduces over it
  bool stored = false;          ///< some parameter mentions it
  std::vector<Member> members;  ///< in program order; tied parameters once
  std::int32_t tie = -1;        ///< class of axes that must keep equally many units, or -1
  bool prunable() const { return !frozen && stored && size > 1; }
};

/// A set of parameter slabs that shrink together: one prunable axis.
struct Group {
  std::string id;  ///< "G01", in order of first appearance
  AxisIndex axis = -1;
  std::string signature;  ///< equal for groups of the same kind (isomorphic ranking)
};

struct UnknownOp {
  std::string target;
  std::vector<std::int32_t> ops;  ///< where
};

/// The result of the analysis: what every dimension is made of, which axes exist, what couples, what may not shrink.
struct Dependencies {
  Terms terms;
  std::vector<ValueTerms> values;  ///< by ValueId
  std::vector<Axis> axes;
  std::vector<Group> groups;  ///< the prunable axes
  std::vector<Renormalisation> renormalisations;
  std::vector<Monomial> macs;
  std::vector<UnknownOp> unknown;
  std::vector<std::int32_t> unused_inputs;                          ///< parameters no op reads
  std::map<std::pair<std::int32_t, std::string>, TermId> op_terms;  ///< e.g. (op, "groups") of a convolution
  std::map<std::int32_t, AxisIndex> axis_of_term;                   ///< resolved axis term -> axis

  AxisIndex axis_of(TermId term) const;  ///< -1 for size 1
  const ValueTerms& operator[](ValueId id) const { return values[static_cast<std::size_t>(id.index)]; }
};

/// One forward pass over the program. Linear in ops and axes; touches no weights; throws nothing for programs that
/// pass check(): what it cannot express it freezes, what it does not know it lists under `unknown`.
Dependencies analyse(const Program& program);

/// "(4! x a3:16)" with axes named a<index>; frozen ones carry "!".
std::string to_string(const Dependencies& dependencies, TermId term);
/// The canonical text of all groups and frozen parameter axes: one block a group, members with their terms.
std::string to_string(const Dependencies& dependencies, const Program& program);
/// "softmax over it in %softmax (layers.0.attn)": the reason with its op.
std::string explain_freeze(const Freeze& freeze, const Program& program);

}  // namespace pollard::graph
