// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pollard::graph {

/// Handle of a term in a Terms arena.
struct TermId {
  std::int32_t index = -1;
  auto operator<=>(const TermId&) const = default;
};

/// Why an axis must keep all its units.
enum class FreezeWhy : std::uint8_t {
  None,
  Input,       ///< its size is part of what the caller passes in
  Output,      ///< its size is part of what the caller gets back
  Position,    ///< a spatial, time or token position, not born of a parameter
  Gate,        ///< gates of a recurrent cell
  Kernel,      ///< a convolution kernel's spatial extent
  Vocabulary,  ///< rows of an embedding table, addressed by value
  Softmax,     ///< a softmax runs over it: removing a unit changes all others
  Reduction,   ///< max, product or another reduction whose result a zero would change
  Order,       ///< positions along it matter: roll, flip, cumulative sum, sort, arange
  Index,       ///< addressed by an index tensor
  Select,      ///< single positions of it are picked
  Stride,      ///< read with a step
  Stack,       ///< made by stacking tensors
  Integer,     ///< an integer or boolean table
  SizeRead,    ///< its length is read at run time
  Unread,      ///< a part of a parameter that this program does not read
  CountTie,    ///< must keep as many units as an axis of another structure
  Unfit,       ///< two shapes meet that no sum of products describes
  Argument,    ///< an op argument that depends on it cannot be rewritten
  UnknownOp    ///< an op without a rule touches it
};
std::string_view to_string(FreezeWhy why);
/// One sentence for people, without the op.
std::string_view describe(FreezeWhy why);

struct Freeze {
  FreezeWhy why = FreezeWhy::None;
  std::int32_t op = -1;  ///< index of the op that froze it, or -1
  explicit operator bool() const { return why != FreezeWhy::None; }
};

/// The lengths of dimensions, as sums of products of axes, with unification.
///
///     term ::= axis | term x term x ... (major to minor: a view splits or merges it)
///                   | term + term + ... (left to right: concat, split, slice)
///
/// An axis is a variable: binding it to a product or a sum refines every term that mentions it at once, so after
/// one pass over a program a coupled group is one axis. Products and sums are kept flat; factors of size 1 and
/// segments of size 0 vanish. What cannot be expressed is frozen on both sides, never guessed.
class Terms {
 public:
  enum class Kind : std::uint8_t { Axis, Product, Sum };

  TermId axis(std::int64_t size);
  TermId frozen_axis(std::int64_t size, Freeze freeze);
  TermId product(std::span<const TermId> factors);
  TermId product(std::initializer_list<TermId> factors) {
    return product(std::span(factors.begin(), factors.size()));
  }
  TermId sum(std::span<const TermId> segments);

  /// What a term stands for after all bindings.
  TermId find(TermId term) const;
  Kind kind(TermId term) const { return node(find(term)).kind; }
  std::int64_t size(TermId term) const { return node(term).size; }
  const Freeze& freeze_of(TermId axis) const { return node(find(axis)).freeze; }

  /// Resolved, flat: the factors of a product, major to minor; any other term is its own only factor.
  std::vector<TermId> factors(TermId term) const;
  /// Resolved, flat: the segments of a sum, left to right; any other term is its own only segment.
  std::vector<TermId> segments(TermId term) const;
  /// Every axis of size other than 1 that the term mentions, in order, repeats included.
  std::vector<TermId> axes(TermId term) const;

  /// Makes two terms one. False (and both frozen as Unfit) when no sum of products describes both.
  bool unify(TermId a, TermId b, std::int32_t op);
  void freeze(TermId term, Freeze freeze);
  /// term == major x minor with size(minor) == minor_size; nothing when it cannot be read so.
  std::optional<std::pair<TermId, TermId>> split_minor(TermId term, std::int64_t minor_size, std::int32_t op);
  /// term == left + right with size(left) == left_size; nothing when it cannot be read so.
  std::optional<std::pair<TermId, TermId>> split_left(TermId term, std::int64_t left_size, std::int32_t op);

  std::size_t count() const { return nodes_.size(); }

 private:
  struct Node {
    Kind kind = Kind::Axis;
    std::int64_t size = 0;
    Freeze freeze;
    std::vector<TermId> parts;
    mutable TermId forward;
  };
  const Node& node(TermId term) const { return nodes_[static_cast<std::size_t>(term.index)]; }
  Node& node(TermId term) { return nodes_[static_cast<std::size_t>(term.index)]; }
  TermId make(Kind kind, std::int64_t size, std::vector<TermId> parts);
  void flatten(TermId term, Kind kind, std::vector<TermId>& out) const;
  void collect_axes(TermId term, std::vector<TermId>& out) const;
  void bind(TermId axis, TermId term);
  bool unify_products(TermId a, TermId b, std::int32_t op);
  bool unify_sums(TermId a, TermId b, std::int32_t op);
  bool unfit(TermId a, TermId b, std::int32_t op);
  std::optional<std::pair<TermId, TermId>> split_product_minor(TermId term, std::int64_t minor_size,
                                                               std::int32_t op);
  std::optional<std::pair<TermId, TermId>> split_sum_minor(TermId term, std::int64_t minor_size,
                                                           std::int32_t op);
  std::optional<std::pair<TermId, TermId>> split_sum_left(TermId term, std::int64_t left_size,
                                                          std::int32_t op);

  std::vector<Node> nodes_;
};

}  // namespace pollard::graph
