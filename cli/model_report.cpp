// SPDX-License-Identifier: Apache-2.0
#include "cli/model_report.h"

#include <fmt/format.h>

#include "cli/ui/text.h"

namespace pollard::cli {
namespace {

using graph::Dependencies;
using graph::Input;
using graph::Program;

const Input& input_of(const Program& program, const graph::Member& member) {
  return program.inputs[static_cast<std::size_t>(member.input)];
}

graph::TermId term_of(const Program& program, const Dependencies& d, const graph::Member& member) {
  return d[input_of(program, member).value].dims[static_cast<std::size_t>(member.dim)];
}

// How many rows of the dimension one unit owns: 4 for an LSTM's stacked gates.
std::int64_t rows_per_unit(const Program& program, const Dependencies& d, const graph::Member& member,
                           graph::AxisIndex axis) {
  std::int64_t rows = 0;
  for (const std::int64_t unit : graph::unit_of_index(d, term_of(program, d, member), axis))
    rows += unit == 0 ? 1 : 0;
  return rows;
}

std::string plain_shape(const graph::Value& value) {
  std::vector<std::string> sizes;
  for (const std::int64_t size : value.sizes()) sizes.push_back(std::to_string(size));
  return "[" + join(sizes, ",") + "]";
}

std::string_view kind_of(const Input& input) {
  switch (input.kind) {
    case Input::Kind::Parameter: return "parameter";
    case Input::Kind::Buffer: return input.persistent ? "buffer" : "buffer, not saved";
    case Input::Kind::Constant: return "constant";
    case Input::Kind::User: break;
  }
  return "input";
}

bool is_stored(const Input& input) { return input.kind != Input::Kind::User && !input.constant; }

std::string terms_text(const Dependencies& d, graph::ValueId value) {
  std::vector<std::string> terms;
  for (const graph::TermId term : d[value].dims) terms.push_back(graph::to_string(d, term));
  return join(terms, ", ");
}

Json members_json(const std::vector<graph::Member>& members, const Program& program, const Dependencies& d) {
  Json out = Json::array();
  for (const graph::Member& member : members)
    out.push_back({{"name", input_of(program, member).source},
                   {"dim", member.dim},
                   {"shape", program[input_of(program, member).value].sizes()},
                   {"term", graph::to_string(d, term_of(program, d, member))}});
  return out;
}

std::string more(std::size_t members) { return members > 1 ? fmt::format(" +{}", members - 1) : ""; }

}  // namespace

std::vector<GroupView> group_views(const Program& program, const Dependencies& d) {
  const std::vector<graph::Cost> shares = graph::CostModel(program, d).shares();
  std::vector<GroupView> views;
  for (const graph::Group& group : d.groups) {
    const graph::Axis& axis = d.axes[static_cast<std::size_t>(group.axis)];
    const graph::Cost& share = shares[static_cast<std::size_t>(group.axis)];
    views.push_back({.id = group.id,
                     .axis = group.axis,
                     .units = axis.size,
                     .parameters = share.parameters,
                     .macs = share.macs,
                     .renormalised = axis.renormalised,
                     .role = axis.role,
                     .members = axis.members});
  }
  return views;
}

std::string member_name(const Program& program, const graph::Member& member) {
  return input_of(program, member).source + ":" + std::to_string(member.dim);
}

Table group_table(const std::vector<GroupView>& groups, const Program& program) {
  Table table({{"group"},
               {"units", true},
               {"members", true},
               {"params", true},
               {"MACs", true},
               {"role"},
               {"kind"},
               {"first member", false, Column::Cut::Middle}});
  for (const GroupView& group : groups)
    table.add({group.id, count_cell(group.units), count_cell(static_cast<std::int64_t>(group.members.size())),
               short_cell(static_cast<double>(group.parameters)), short_cell(static_cast<double>(group.macs)),
               std::string(graph::to_string(group.role)), group.renormalised ? "renorm." : "exact",
               group.members.empty() ? "" : member_name(program, group.members.front())});
  return table;
}

Table member_table(const GroupView& group, const Program& program, const Dependencies& d) {
  Table table({{"parameter", false, Column::Cut::Middle},
               {"shape"},
               {"dim", true},
               {"rows per unit", true},
               {"made of", false, Column::Cut::End}});
  for (const graph::Member& member : group.members)
    table.add({input_of(program, member).source, plain_shape(program[input_of(program, member).value]),
               std::to_string(member.dim), count_cell(rows_per_unit(program, d, member, group.axis)),
               graph::to_string(d, term_of(program, d, member))});
  return table;
}

Table frozen_table(const Program& program, const Dependencies& d) {
  Table table({{"size", true},
               {"why"},
               {"first member", false, Column::Cut::Middle},
               {"at", false, Column::Cut::End}});
  for (const graph::Axis& axis : d.axes) {
    if (!axis.frozen || !axis.stored || axis.members.empty()) continue;
    const auto op = static_cast<std::size_t>(axis.frozen.op);
    table.add({count_cell(axis.size), std::string(graph::to_string(axis.frozen.why)),
               member_name(program, axis.members.front()) + more(axis.members.size()),
               axis.frozen.op < 0 ? "" : "%" + program.ops[op].name});
  }
  return table;
}

Table tensor_table(const models::Model& model, const Dependencies& d) {
  Table table({{"tensor", false, Column::Cut::Middle},
               {"kind"},
               {"dtype"},
               {"shape"},
               {"elements", true},
               {"made of", false, Column::Cut::End}});
  for (const Input& input : model.program.inputs) {
    if (!is_stored(input)) continue;
    const graph::Value& value = model.program[input.value];
    const std::string kind = input.tied_to.empty() ? std::string(kind_of(input)) : "tied to " + input.tied_to;
    table.add({input.source, kind, std::string(graph::to_string(value.dtype)), plain_shape(value),
               count_cell(value.numel()), terms_text(d, input.value)});
  }
  return table;
}

Json groups_json(const std::vector<GroupView>& groups, const Program& program, const Dependencies& d) {
  Json out = Json::array();
  for (const GroupView& group : groups) {
    Json members = members_json(group.members, program, d);
    for (std::size_t i = 0; i < group.members.size(); ++i)
      members[i]["rows_per_unit"] = rows_per_unit(program, d, group.members[i], group.axis);
    const graph::Axis& axis = d.axes[static_cast<std::size_t>(group.axis)];
    out.push_back({{"id", group.id},
                   {"axis", "a" + std::to_string(group.axis)},
                   {"kind", group.renormalised ? "renormalised" : "exact"},
                   {"role", graph::to_string(group.role)},
                   {"size", group.units},
                   {"tie", axis.tie < 0 ? Json() : Json(axis.tie)},
                   {"parameters", group.parameters},
                   {"macs", group.macs},
                   {"members", members}});
  }
  return out;
}

Json frozen_json(const Program& program, const Dependencies& d) {
  Json out = Json::array();
  for (std::size_t a = 0; a < d.axes.size(); ++a) {
    const graph::Axis& axis = d.axes[a];
    if (!axis.frozen) continue;
    const auto op = static_cast<std::size_t>(axis.frozen.op);
    out.push_back({{"axis", "a" + std::to_string(a)},
                   {"size", axis.size},
                   {"why", graph::to_string(axis.frozen.why)},
                   {"reason", graph::explain_freeze(axis.frozen, program)},
                   {"op", axis.frozen.op < 0 ? Json() : Json(program.ops[op].name)},
                   {"members", members_json(axis.members, program, d)}});
  }
  return out;
}

Json tensors_json(const models::Model& model, const Dependencies& d) {
  Json out = Json::array();
  for (const Input& input : model.program.inputs) {
    if (!is_stored(input)) continue;
    const graph::Value& value = model.program[input.value];
    Json dims = Json::array();
    for (const graph::TermId term : d[input.value].dims) dims.push_back(graph::to_string(d, term));
    out.push_back({{"name", input.source},
                   {"kind", kind_of(input)},
                   {"dtype", graph::to_string(value.dtype)},
                   {"shape", value.sizes()},
                   {"dims", dims},
                   {"tied_to", input.tied_to.empty() ? Json() : Json(input.tied_to)}});
  }
  return out;
}

}  // namespace pollard::cli
