// SPDX-License-Identifier: Apache-2.0
#include "graph/rewrite_context.h"

#include <algorithm>
#include <numeric>

#include "graph/error.h"
#include "graph/malformed.h"

namespace pollard::graph {

const std::vector<TermId>& RewriteContext::terms(std::string_view argument) const {
  const auto id = op_.tensor(argument);
  if (!id) malformed(op_, "no tensor argument " + std::string(argument));
  return terms(*id);
}

std::int64_t RewriteContext::kept_before(TermId term, std::int64_t count) const {
  const std::vector<std::int64_t> kept = kept_indices(dependencies_, term, removal_);
  return std::ranges::lower_bound(kept, count) - kept.begin();
}

TermId RewriteContext::remembered(const std::string& name) const {
  const auto found = dependencies_.op_terms.find({index_, name});
  POLLARD_CHECK(found != dependencies_.op_terms.end(), op_.name + " remembers no " + name);
  return found->second;
}

void RewriteContext::resize_list(std::string_view argument, const std::vector<TermId>& sizes,
                                 std::size_t first) {
  Arg* arg = op_.find(argument);
  auto* list = arg ? arg->as<Arg::List>() : nullptr;
  if (!list || list->size() > sizes.size() + first)
    malformed(op_, std::string(argument) + " does not fit the result");
  for (std::size_t i = first; i < list->size(); ++i) (*list)[i] = resized_entry((*list)[i], sizes[i - first]);
}

Arg RewriteContext::resized_entry(const Arg& entry, TermId term) {
  if (!resized(term)) return entry;
  if (const auto* number = entry.as<std::int64_t>()) return *number == -1 ? entry : Arg(new_size(term));
  const auto* symbolic = entry.as<ValueId>();
  if (!symbolic) malformed(op_, "a size is neither a number nor symbolic");
  return scale(*symbolic, new_size(term), old_size(term));
}

// A symbolic length over a pruned axis is (symbols) x (axis): exact after scaling by new/old.
Arg RewriteContext::scale(ValueId symbolic, std::int64_t numerator, std::int64_t denominator) {
  const std::int64_t divisor = std::gcd(numerator, denominator);
  const std::int64_t hint = after_[symbolic].scalar.hint;
  const ValueId product =
      scalar_op("_operator.mul", symbolic, numerator / divisor, hint * (numerator / divisor));
  return scalar_op("_operator.floordiv", product, denominator / divisor, hint * numerator / denominator);
}

ValueId RewriteContext::scalar_op(const char* target, Arg a, std::int64_t b, std::int64_t hint) {
  const std::string name = op_.name + "_size_" + std::to_string(after_.values.size());
  const ValueId from = *a.as<ValueId>();
  const bool multiply = std::string_view(target) == "_operator.mul";
  const std::string& expr = after_[from].scalar.expr;
  Value value{.name = name, .kind = Value::Kind::Int};
  value.scalar = {.hint = hint,
                  .expr = (multiply ? std::to_string(b) + "*(" : "((") + expr +
                          (multiply ? ")" : ")//" + std::to_string(b) + ")")};
  const ValueId out = after_.add(std::move(value));
  Op op{.target = target, .args = {{"a", a}, {"b", b}}, .outputs = {out}, .name = name, .module = op_.module};
  inserted_.push_back(std::move(op));
  return out;
}

}  // namespace pollard::graph
