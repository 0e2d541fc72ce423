// SPDX-License-Identifier: Apache-2.0
#include "graph/dependencies.h"

#include <algorithm>
#include <numeric>
#include <set>
#include <stdexcept>

#include "graph/error.h"
#include "graph/op_rules.h"

namespace pollard::graph {
namespace {

// ---- the forward pass ------------------------------------------------------------------------------------------

/// Terms of a stored tensor: free axes for floating-point data, frozen ones for tables of integers.
std::vector<TermId> stored_terms(Terms& terms, const Value& value) {
  std::vector<TermId> dims;
  for (const Size& size : value.shape)
    dims.push_back(is_floating(value.dtype) ? terms.axis(size.hint)
                                            : terms.frozen_axis(size.hint, {FreezeWhy::Integer}));
  return dims;
}

void bind_inputs(AnalysisState& state) {
  std::map<std::string_view, ValueId> by_source;
  for (const Input& input : state.program.inputs) {
    if (input.constant) continue;
    ValueFacts& f = state.values[static_cast<std::size_t>(input.value.index)];
    const Value& value = state.program[input.value];
    f.known = value.kind == Value::Kind::Tensor;
    f.from_weights = input.kind != Input::Kind::User;
    const auto tied = by_source.find(input.tied_to);
    if (input.kind == Input::Kind::User) {
      for (const Size& size : value.shape)
        f.terms.dims.push_back(state.terms.frozen_axis(size.hint, {FreezeWhy::Input}));
    } else if (!input.tied_to.empty() && tied != by_source.end()) {
      f.terms = state.values[static_cast<std::size_t>(tied->second.index)].terms;
    } else {
      f.terms.dims = stored_terms(state.terms, value);
    }
    if (!input.source.empty()) by_source.emplace(input.source, input.value);
  }
}

bool touches_tensors(const Program& program, const Op& op) {
  const auto is_tensor = [&](ValueId id) { return program[id].kind == Value::Kind::Tensor; };
  if (std::ranges::any_of(op.outputs, is_tensor)) return true;
  return std::ranges::any_of(
      op.args, [&](const NamedArg& named) { return std::ranges::any_of(values_in(named.arg), is_tensor); });
}

void mark_from_weights(AnalysisState& state, const Op& op) {
  bool all = true;
  for (const NamedArg& named : op.args)
    for (ValueId id : values_in(named.arg))
      if (state.program[id].kind == Value::Kind::Tensor)
        all = all && state.values[static_cast<std::size_t>(id.index)].from_weights;
  for (ValueId id : op.outputs) state.values[static_cast<std::size_t>(id.index)].from_weights = all;
}

void apply_rule(AnalysisState& state, std::int32_t index,
                std::map<std::string, std::vector<std::int32_t>>& unknown) {
  const Op& op = state.program.ops[static_cast<std::size_t>(index)];
  if (!touches_tensors(state.program, op)) return;
  mark_from_weights(state, op);
  RuleContext context(state, op, index);
  if (const OpRule* rule = find_rule(op.target)) {
    // Rules read dimensions and results with at(): an op of a damaged file may lack what every sound one has.
    try {
      rule->apply ? rule->apply(context, *rule) : apply_signature(context, *rule);
    } catch (const std::out_of_range&) {
      context.malformed("too few dimensions or results");
    }
  } else {
    unknown[op.target].push_back(index);
    context.give_up(FreezeWhy::UnknownOp);
  }
  for (std::size_t k = 0; k < op.outputs.size(); ++k)
    if (context.out_value(k).kind == Value::Kind::Tensor && !context.facts(op.outputs[k]).known)
      context.set(k, context.frozen(context.out_value(k), FreezeWhy::UnknownOp));
}

void bind_outputs(AnalysisState& state) {
  const Op none{};
  RuleContext context(state, none, -1);
  for (const Output& output : state.program.outputs) {
    const auto* id = output.value.as<ValueId>();
    if (!id || state.program[*id].kind != Value::Kind::Tensor) continue;
    const ValueTerms& terms = context.in(*id);
    const Input* buffer =
        output.kind == Output::Kind::BufferMutation ? state.program.find_input(output.target) : nullptr;
    if (buffer) {
      const ValueTerms& stored = context.in(buffer->value);
      for (std::size_t d = 0; d < std::min(terms.dims.size(), stored.dims.size()); ++d)
        context.unify(terms.dims[d], stored.dims[d]);
    } else {
      for (TermId term : terms.dims) context.freeze(term, FreezeWhy::Output);
    }
  }
}

void list_stacked(ValueFacts& f) {
  for (const std::vector<TermId>& slice : f.stacked->slices)
    for (std::size_t i = 0; i < slice.size(); ++i) {
      const auto dim =
          static_cast<std::int32_t>(i) + (static_cast<std::int32_t>(i) >= f.stacked->dim ? 1 : 0);
      if (slice[i] != f.terms.dims[static_cast<std::size_t>(dim)])
        f.terms.stacked.emplace_back(dim, slice[i]);
    }
}

// ---- count ties ------------------------------------------------------------------------------------------------

/// Pairs of axes that must keep equally many units; terms of different structure freeze each other.
void match_counts(Terms& terms, TermId a, TermId b, std::int32_t op,
                  std::vector<std::pair<TermId, TermId>>& pairs) {
  a = terms.find(a);
  b = terms.find(b);
  if (a == b) return;
  const std::vector<TermId> fa = terms.kind(a) == Terms::Kind::Sum ? terms.segments(a) : terms.factors(a);
  const std::vector<TermId> fb = terms.kind(b) == Terms::Kind::Sum ? terms.segments(b) : terms.factors(b);
  const bool alike =
      terms.kind(a) == terms.kind(b) &&
      std::ranges::equal(
          fa, fb, {}, [&](TermId t) { return terms.size(t); }, [&](TermId t) { return terms.size(t); });
  if (!alike) {
    for (TermId term : {a, b}) terms.freeze(term, {FreezeWhy::CountTie, op});
  } else if (terms.kind(a) == Terms::Kind::Axis) {
    pairs.emplace_back(a, b);
  } else {
    for (std::size_t i = 0; i < fa.size(); ++i) match_counts(terms, fa[i], fb[i], op, pairs);
  }
}

/// Numbers the classes of tied axes; a frozen axis freezes its whole class.
void number_ties(Dependencies& d, const std::vector<std::pair<TermId, TermId>>& pairs, std::int32_t op) {
  std::vector<std::int32_t> parent(d.axes.size());
  std::iota(parent.begin(), parent.end(), 0);
  const auto root = [&](std::int32_t a) {
    while (parent[static_cast<std::size_t>(a)] != a) a = parent[static_cast<std::size_t>(a)];
    return a;
  };
  for (const auto& [a, b] : pairs) {
    const std::int32_t ra = root(d.axis_of(a)), rb = root(d.axis_of(b));
    parent[static_cast<std::size_t>(std::max(ra, rb))] = std::min(ra, rb);
  }
  std::map<std::int32_t, std::vector<AxisIndex>> classes;
  for (AxisIndex a = 0; a < static_cast<AxisIndex>(d.axes.size()); ++a) classes[root(a)].push_back(a);
  std::int32_t next = 0;
  for (const auto& [_, members] : classes) {
    if (members.size() < 2) continue;
    const bool frozen = std::ranges::any_of(
        members, [&](AxisIndex a) { return bool(d.axes[static_cast<std::size_t>(a)].frozen); });
    for (AxisIndex a : members) {
      Axis& axis = d.axes[static_cast<std::size_t>(a)];
      axis.tie = next;
      if (frozen && !axis.frozen) axis.frozen = {FreezeWhy::CountTie, op};
    }
    ++next;
  }
}

// ---- axes and groups ------------------------------------------------------------------------------------------

AxisIndex add_axis(Dependencies& d, TermId term) {
  const auto [found, fresh] = d.axis_of_term.emplace(term.index, static_cast<AxisIndex>(d.axes.size()));
  if (fresh) d.axes.push_back({.term = term, .size = d.terms.size(term), .frozen = d.terms.freeze_of(term)});
  return found->second;
}

void collect_axes(Dependencies& d, const Program& program) {
  for (std::size_t i = 0; i < program.inputs.size(); ++i) {
    const Input& input = program.inputs[i];
    if (input.constant || input.kind == Input::Kind::User) continue;
    const std::vector<TermId>& dims = d[input.value].dims;
    for (std::size_t dim = 0; dim < dims.size(); ++dim)
      for (TermId term : d.terms.axes(dims[dim])) {
        Axis& axis = d.axes[static_cast<std::size_t>(add_axis(d, term))];
        axis.stored = true;
        const Member member{.input = static_cast<std::int32_t>(i), .dim = static_cast<std::int32_t>(dim)};
        if (input.tied_to.empty() && (axis.members.empty() || axis.members.back() != member))
          axis.members.push_back(member);
      }
  }
  for (const ValueTerms& value : d.values)
    for (TermId dim : value.dims)
      for (TermId term : d.terms.axes(dim)) add_axis(d, term);
  for (const Monomial& monomial : d.macs)
    for (TermId factor : monomial.terms)
      for (TermId term : d.terms.axes(factor)) add_axis(d, term);
  for (const auto& [_, remembered] : d.op_terms)
    for (TermId term : d.terms.axes(remembered)) add_axis(d, term);
}

void freeze_unread(Dependencies& d, const Program& program) {
  std::vector<bool> read(program.values.size(), false);
  const auto mark = [&](const Arg& arg) {
    for (ValueId id : values_in(arg)) read[static_cast<std::size_t>(id.index)] = true;
  };
  for (const Op& op : program.ops)
    for (const NamedArg& named : op.args) mark(named.arg);
  for (const Output& output : program.outputs) mark(output.value);
  const auto is_read = [&](std::int32_t input) {
    return read[static_cast<std::size_t>(program.inputs[static_cast<std::size_t>(input)].value.index)];
  };
  for (std::size_t i = 0; i < program.inputs.size(); ++i)
    if (!program.inputs[i].constant && program.inputs[i].kind != Input::Kind::User &&
        !is_read(static_cast<std::int32_t>(i)))
      d.unused_inputs.push_back(static_cast<std::int32_t>(i));
  for (Axis& axis : d.axes)
    if (axis.stored && !axis.frozen &&
        std::ranges::none_of(axis.members, [&](const Member& m) { return is_read(m.input); }))
      axis.frozen = {FreezeWhy::Unread};
}

void assign_facts(Dependencies& d, const AnalysisState& state) {
  for (const auto& [term, role] : state.roles)
    for (TermId axis : d.terms.axes(term)) {
      Axis& a = d.axes[static_cast<std::size_t>(add_axis(d, axis))];
      if (a.role == Role::Unit) a.role = role;
    }
  for (const Renormalisation& r : d.renormalisations)
    for (TermId axis : d.terms.axes(r.term))
      d.axes[static_cast<std::size_t>(add_axis(d, axis))].renormalised = true;
}

/// What reads each input first: "linear.weight".
std::vector<std::string> first_readers(const Program& program) {
  std::vector<std::string> by_value(program.values.size());
  for (const Op& op : program.ops)
    for (const NamedArg& named : op.args)
      for (ValueId id : values_in(named.arg))
        if (std::string& reader = by_value[static_cast<std::size_t>(id.index)]; reader.empty())
          reader = std::string(op.base_name()) + "." + named.name;
  return by_value;
}

void form_groups(Dependencies& d, const Program& program) {
  const std::vector<std::string> readers = first_readers(program);
  const auto label = [&](const Member& m) {
    return readers[static_cast<std::size_t>(program.inputs[static_cast<std::size_t>(m.input)].value.index)] +
           ":" + std::to_string(m.dim);
  };
  for (AxisIndex a = 0; a < static_cast<AxisIndex>(d.axes.size()); ++a) {
    const Axis& axis = d.axes[static_cast<std::size_t>(a)];
    if (!axis.prunable()) continue;
    std::map<std::string, int> labels;
    for (const Member& member : axis.members) ++labels[label(member)];
    Group group{.id = {}, .axis = a, .signature = std::string(to_string(axis.role))};
    for (const auto& [text, times] : labels) group.signature += " " + text + "*" + std::to_string(times);
    d.groups.push_back(std::move(group));
  }
  const std::size_t digits = std::max<std::size_t>(2, std::to_string(d.groups.size()).size());
  for (std::size_t g = 0; g < d.groups.size(); ++g) {
    const std::string number = std::to_string(g + 1);
    d.groups[g].id = "G" + std::string(digits - std::min(digits, number.size()), '0') + number;
  }
}

}  // namespace

std::string_view to_string(Role role) {
  switch (role) {
    case Role::Unit: return "unit";
    case Role::Head: return "head";
    case Role::HeadDim: return "head-dim";
  }
  return "unit";
}

AxisIndex Dependencies::axis_of(TermId term) const {
  const auto found = axis_of_term.find(terms.find(term).index);
  return found == axis_of_term.end() ? -1 : found->second;
}

Dependencies analyse(const Program& program) {
  AnalysisState state{
      .program = program, .terms = {}, .values = std::vector<ValueFacts>(program.values.size())};
  std::map<std::string, std::vector<std::int32_t>> unknown;
  bind_inputs(state);
  for (std::int32_t i = 0; i < static_cast<std::int32_t>(program.ops.size()); ++i)
    apply_rule(state, i, unknown);
  bind_outputs(state);

  std::vector<std::pair<TermId, TermId>> tied;
  for (const CountTie& tie : state.ties) match_counts(state.terms, tie.a, tie.b, tie.op, tied);
  Dependencies d;
  for (ValueFacts& f : state.values) {
    if (f.stacked) list_stacked(f);
    d.values.push_back(std::move(f.terms));
  }
  d.terms = std::move(state.terms);
  d.renormalisations = std::move(state.renormalisations);
  d.macs = std::move(state.macs);
  d.op_terms = std::move(state.op_terms);
  for (auto& [target, ops] : unknown) d.unknown.push_back({.target = target, .ops = std::move(ops)});
  collect_axes(d, program);
  for (const auto& [a, b] : tied)
    for (TermId term : {a, b}) add_axis(d, term);
  freeze_unread(d, program);
  number_ties(d, tied, state.ties.empty() ? -1 : state.ties.front().op);
  assign_facts(d, state);
  form_groups(d, program);
  return d;
}

}  // namespace pollard::graph
