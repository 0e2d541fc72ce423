// SPDX-License-Identifier: Apache-2.0
// The program as a graph to look at: nodes in execution order, edges where one reads what another made.
#include <algorithm>
#include <map>
#include <set>

#include "cli/report/report.h"
#include "cli/ui/text.h"

namespace pollard::cli::report {
namespace {

using graph::Dependencies;
using graph::Program;
using graph::ValueId;

/// "layer1.0" of "layer1.0.conv1" at depth 2.
std::string prefix(const std::string& module, std::size_t depth) {
  std::size_t at = 0;
  for (std::size_t part = 0; part < depth; ++part) {
    at = module.find('.', at == 0 ? 0 : at + 1);
    if (at == std::string::npos) return module;
  }
  return module.substr(0, at);
}

/// By op, the module it belongs to, where the file says; else that of its first parameter, or of the op before it.
std::vector<std::string> modules_of(const Program& program) {
  std::map<std::int32_t, std::string> parents;
  for (const graph::Input& input : program.inputs)
    if (const auto dot = input.source.rfind('.'); dot != std::string::npos)
      parents[input.value.index] = input.source.substr(0, dot);
  std::vector<std::string> out;
  for (const graph::Op& op : program.ops) {
    std::string here = op.module;
    for (const graph::NamedArg& named : op.args)
      for (const ValueId value : graph::values_in(named.arg))
        if (here.empty() && parents.contains(value.index)) here = parents[value.index];
    out.push_back(here.empty() && !out.empty() ? out.back() : here);
  }
  return out;
}

/// By op, the number of the node that shows it: runs of ops of one module share a node at the given depth.
std::vector<std::int32_t> runs_at(const std::vector<std::string>& modules, std::size_t depth,
                                  std::size_t& count) {
  std::vector<std::int32_t> out;
  std::string last;
  count = 0;
  for (const std::string& module : modules) {
    const std::string here = prefix(module, depth);
    if (out.empty() || here.empty() || here != last) ++count;
    out.push_back(static_cast<std::int32_t>(count) - 1);
    last = here;
  }
  return out;
}

struct Collapse {
  std::vector<std::int32_t> node_of_op;
  std::size_t nodes = 0;
  std::string how;  ///< "" when every op is a node of its own
};

Collapse collapse(const Program& program, const std::vector<std::string>& modules, std::size_t limit) {
  const std::size_t ops = program.ops.size();
  Collapse out{.node_of_op = std::vector<std::int32_t>(ops), .nodes = ops, .how = {}};
  for (std::size_t i = 0; i < ops; ++i) out.node_of_op[i] = static_cast<std::int32_t>(i);
  if (ops <= limit) return out;
  std::size_t deepest = 1;
  for (const std::string& module : modules)
    deepest = std::max(deepest, 1 + static_cast<std::size_t>(std::ranges::count(module, '.')));
  for (std::size_t depth = deepest; depth >= 1; --depth) {
    out.node_of_op = runs_at(modules, depth, out.nodes);
    out.how = std::to_string(ops) + " ops, drawn by module";
    if (out.nodes <= limit) return out;
  }
  const std::size_t size = (ops + limit - 1) / limit;
  for (std::size_t i = 0; i < ops; ++i) out.node_of_op[i] = static_cast<std::int32_t>(i / size);
  out.nodes = (ops + size - 1) / size;
  out.how = std::to_string(ops) + " ops, drawn " + std::to_string(size) + " at a time";
  return out;
}

class Drawing {
 public:
  Drawing(const AnalysedModel& m, const pruning::Plan* plan, std::size_t limit)
      : program_(m.model.program),
        d_(m.dependencies),
        after_(plan ? plan->removal.widths(d_) : graph::full_widths(d_)),
        modules_(modules_of(program_)),
        collapse_(collapse(program_, modules_, limit)),
        made_by_(program_.values.size(), -1) {
    for (const graph::Group& group : d_.groups) group_of_axis_[group.axis] = group.id;
    for (const graph::Input& input : program_.inputs) {
      if (input.kind == graph::Input::Kind::User)
        add_input(input);
      else
        source_[input.value.index] = input.source;
    }
    first_op_ = static_cast<std::int32_t>(nodes_.size());
    for (std::size_t i = 0; i < program_.ops.size(); ++i) add_op(i);
    add_outputs();
  }

  Json json() {
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      nodes_[i]["groups"] = groups_[i];
      nodes_[i]["reads"] = Json::array();
      for (const auto& [from, along] : reads_[i])
        nodes_[i]["reads"].push_back({{"node", from}, {"groups", along}});
    }
    return {{"collapsed", collapse_.how}, {"nodes", nodes_}};
  }

 private:
  Json& node(std::string kind, const std::string& name, const std::string& module) {
    nodes_.push_back({{"op", std::move(kind)},
                      {"name", name},
                      {"module", module},
                      {"ops", 1},
                      {"before", ""},
                      {"after", ""},
                      {"parameters", Json::array()}});
    groups_.emplace_back();
    reads_.emplace_back();
    return nodes_.back();
  }

  void add_input(const graph::Input& input) {
    if (input.constant) return;
    Json& made = node("input", program_[input.value].name, "");
    made["before"] = made["after"] = shape(input.value, graph::full_widths(d_));
    made_by_[static_cast<std::size_t>(input.value.index)] = static_cast<std::int32_t>(nodes_.size()) - 1;
  }

  void add_op(std::size_t index) {
    const graph::Op& op = program_.ops[index];
    const std::int32_t at = first_op_ + collapse_.node_of_op[index];
    if (static_cast<std::size_t>(at) == nodes_.size()) {
      node(std::string(op.base_name()), op.name, collapse_.how.empty() ? op.module : modules_[index]);
    } else {
      Json& shared = nodes_[static_cast<std::size_t>(at)];
      shared["ops"] = shared["ops"].get<int>() + 1;
      shared["op"] = "";
      shared["module"] = common(shared["module"].get<std::string>(), modules_[index]);
    }
    for (const graph::NamedArg& named : op.args)
      for (const ValueId value : graph::values_in(named.arg)) read(at, value);
    for (const ValueId value : op.outputs) {
      made_by_[static_cast<std::size_t>(value.index)] = at;
      join_groups(at, value);
    }
    if (op.outputs.empty() || program_[op.outputs[0]].kind != graph::Value::Kind::Tensor) return;
    nodes_[static_cast<std::size_t>(at)]["before"] = shape(op.outputs[0], graph::full_widths(d_));
    nodes_[static_cast<std::size_t>(at)]["after"] = shape(op.outputs[0], after_);
  }

  void add_outputs() {
    node("output", "", "");
    for (const graph::Output& output : program_.outputs)
      for (const ValueId value : graph::values_in(output.value))
        read(static_cast<std::int32_t>(nodes_.size()) - 1, value);
  }

  void read(std::int32_t at, ValueId value) {
    join_groups(at, value);
    if (const auto stored = source_.find(value.index); stored != source_.end()) {
      nodes_[static_cast<std::size_t>(at)]["parameters"].push_back(stored->second);
      return;
    }
    const std::int32_t from = made_by_[static_cast<std::size_t>(value.index)];
    if (from < 0 || from == at || program_[value].kind != graph::Value::Kind::Tensor) return;
    auto& along = reads_[static_cast<std::size_t>(at)][from];
    for (const std::string& group : groups_along(value)) along.insert(group);
  }

  std::set<std::string> groups_along(ValueId value) const {
    std::set<std::string> out;
    for (const graph::TermId term : d_[value].dims)
      for (const graph::TermId axis : d_.terms.axes(term))
        if (const auto found = group_of_axis_.find(d_.axis_of(axis)); found != group_of_axis_.end())
          out.insert(found->second);
    return out;
  }
  void join_groups(std::int32_t at, ValueId value) {
    groups_[static_cast<std::size_t>(at)].merge(groups_along(value));
  }

  std::string shape(ValueId value, const graph::Widths& widths) const {
    std::vector<std::string> sizes;
    const auto& dims = d_[value].dims;
    for (std::size_t i = 0; i < dims.size(); ++i)
      sizes.push_back(std::to_string(graph::size_at(d_, dims[i], widths)));
    return join(sizes, "\u00d7");
  }

  static std::string common(const std::string& a, const std::string& b) {
    std::string out;
    for (const std::string& part : split(a, '.')) {
      const std::string longer = out.empty() ? part : out + "." + part;
      if (b != longer && !b.starts_with(longer + ".")) break;
      out = longer;
    }
    return out;
  }

  const Program& program_;
  const Dependencies& d_;
  graph::Widths after_;
  std::vector<std::string> modules_;  ///< by op
  Collapse collapse_;
  std::vector<std::int32_t> made_by_;  ///< by value: the node
  std::map<std::int32_t, std::string> source_;
  std::map<graph::AxisIndex, std::string> group_of_axis_;
  std::int32_t first_op_ = 0;
  std::vector<Json> nodes_;
  std::vector<std::set<std::string>> groups_;
  std::vector<std::map<std::int32_t, std::set<std::string>>> reads_;
};

}  // namespace

Json network_part(const AnalysedModel& m, const pruning::Plan* plan, std::size_t limit) {
  return Drawing(m, plan, limit).json();
}

}  // namespace pollard::cli::report
