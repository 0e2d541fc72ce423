// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "graph/removal.h"

namespace pollard::graph {

/// What a rewrite rule sees: the op as it was, terms and sizes before and after, and a copy of the op to change.
/// A size argument changes only where its term's size changed, so -1 and symbolic sizes stay.
class RewriteContext {
 public:
  RewriteContext(Program& after, const Dependencies& dependencies, const Removal& removal,
                 const Widths& widths, std::int32_t op_index, Op op)
      : after_(after),
        dependencies_(dependencies),
        removal_(removal),
        widths_(widths),
        index_(op_index),
        op_(std::move(op)) {}

  const Program& program() const { return after_; }
  const Op& op() const { return op_; }
  Op& op() { return op_; }

  const std::vector<TermId>& terms(ValueId id) const { return dependencies_[id].dims; }
  const std::vector<TermId>& terms(std::string_view argument) const;
  const std::vector<TermId>& out_terms(std::size_t k = 0) const { return terms(op_.outputs[k]); }
  std::int64_t old_size(TermId term) const { return dependencies_.terms.size(term); }
  std::int64_t new_size(TermId term) const { return size_at(dependencies_, term, widths_); }
  bool resized(TermId term) const { return new_size(term) != old_size(term); }
  /// How many of the first `count` positions of the term survive.
  std::int64_t kept_before(TermId term, std::int64_t count) const;
  /// A term the analysis remembered for this op, e.g. "groups".
  TermId remembered(const std::string& name) const;
  std::size_t wrap(std::int64_t dim, std::size_t rank) const {
    return static_cast<std::size_t>(dim < 0 ? dim + static_cast<std::int64_t>(rank) : dim);
  }

  /// The list argument holds one size a term: entries follow their terms. `first` skips leading entries.
  void resize_list(std::string_view argument, const std::vector<TermId>& terms, std::size_t first = 0);
  /// A new value for a size entry of this term: a number, or for a symbolic entry new ops that scale it exactly.
  Arg resized_entry(const Arg& entry, TermId term);

  std::vector<Op>& inserted() { return inserted_; }  ///< scalar ops to run before

 private:
  Arg scale(ValueId symbolic, std::int64_t numerator, std::int64_t denominator);
  ValueId scalar_op(const char* target, Arg a, std::int64_t b, std::int64_t hint);

  Program& after_;
  const Dependencies& dependencies_;
  const Removal& removal_;
  const Widths& widths_;
  std::int32_t index_;
  Op op_;
  std::vector<Op> inserted_;
};

}  // namespace pollard::graph
