// SPDX-License-Identifier: Apache-2.0
// Canonical printed forms of the analysis: what tests compare and `inspect` shows.
#include <algorithm>

#include "graph/dependencies.h"

namespace pollard::graph {
namespace {

std::string join(const Dependencies& d, const std::vector<TermId>& terms, std::string_view separator) {
  std::string out;
  for (TermId term : terms) out += (out.empty() ? "" : std::string(separator)) + to_string(d, term);
  return out;
}

std::string member_line(const Dependencies& d, const Program& program, const Member& member) {
  const Input& input = program.inputs[static_cast<std::size_t>(member.input)];
  const Value& value = program[input.value];
  std::string shape;
  for (const Size& size : value.shape) shape += (shape.empty() ? "" : ",") + std::to_string(size.hint);
  return "  " + input.source + " [" + shape + "] dim " + std::to_string(member.dim) + ": " +
         to_string(d, d[input.value].dims[static_cast<std::size_t>(member.dim)]) + "\n";
}

std::string group_head(const Dependencies& d, const Group& group) {
  const Axis& axis = d.axes[static_cast<std::size_t>(group.axis)];
  std::string out = group.id + " a" + std::to_string(group.axis) + " " + std::to_string(axis.size) +
                    " units " + (axis.renormalised ? "renormalised" : "exact");
  if (axis.role != Role::Unit) out += " " + std::string(to_string(axis.role));
  if (axis.tie >= 0) out += " tie" + std::to_string(axis.tie);
  return out + "\n";
}

}  // namespace

std::string to_string(const Dependencies& d, TermId term) {
  term = d.terms.find(term);
  switch (d.terms.kind(term)) {
    case Terms::Kind::Product: return "(" + join(d, d.terms.factors(term), " x ") + ")";
    case Terms::Kind::Sum: return "[" + join(d, d.terms.segments(term), " + ") + "]";
    case Terms::Kind::Axis: break;
  }
  const AxisIndex a = d.axis_of(term);
  if (a < 0) return std::to_string(d.terms.size(term));
  const Axis& axis = d.axes[static_cast<std::size_t>(a)];
  if (axis.frozen) return std::to_string(axis.size) + "!";
  return "a" + std::to_string(a) + ":" + std::to_string(axis.size);
}

std::string explain_freeze(const Freeze& freeze, const Program& program) {
  std::string out(describe(freeze.why));
  if (freeze.op < 0) return out;
  const Op& op = program.ops[static_cast<std::size_t>(freeze.op)];
  return out + ", at %" + op.name + " = " + op.target + (op.module.empty() ? "" : " (" + op.module + ")");
}

std::string to_string(const Dependencies& d, const Program& program) {
  std::string out;
  for (const Group& group : d.groups) {
    out += group_head(d, group);
    for (const Member& member : d.axes[static_cast<std::size_t>(group.axis)].members)
      out += member_line(d, program, member);
  }
  for (const Axis& axis : d.axes) {
    if (!axis.stored || !axis.frozen || axis.members.empty()) continue;
    out += "frozen " + std::to_string(axis.size) + "! " + explain_freeze(axis.frozen, program) + "\n";
    for (const Member& member : axis.members) out += member_line(d, program, member);
  }
  for (const UnknownOp& op : d.unknown)
    out += "unknown " + op.target + " x" + std::to_string(op.ops.size()) + "\n";
  return out;
}

}  // namespace pollard::graph
