// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "graph/program.h"
#include "models/io/json_reader.h"
#include "models/io/pt2_values.h"

namespace pollard::models::io::pt2 {

/// Turns an archive's models/<name>.json into a Program. Sub-graphs that only set a mode (no_grad, autocast,
/// checkpointing) become part of the flat list of ops; autocast becomes the casts it stands for. Other
/// higher-order ops (cond, map, while_loop) are refused with E0411, which names op and node.
class GraphReader {
 public:
  GraphReader(JsonReader& reader, const Json& exported_program) : reader_(reader), root_(exported_program) {}

  graph::Program read();

 private:
  /// What a name means inside one graph: a value, or a constant bound to a sub-graph's input.
  using Scope = std::map<std::string, graph::Arg>;
  /// Casts to put around the ops of an autocast region.
  struct Autocast {
    graph::DType dtype = graph::DType::Unknown;  ///< Unknown: off
  };

  void read_symbols();
  void reserve_names(const Json& graph);
  void read_inputs(const Json& graph, Scope& scope);
  void read_input_spec(const Json& spec, const Json& argument, Scope& scope);
  void read_outputs(const Json& graph, const Scope& scope);
  void read_nodes(const Json& graph, Scope& scope, Autocast autocast);
  void read_node(const Json& node, const Json& graph, Scope& scope, Autocast autocast);
  void read_op(const Json& node, const std::string& target, const Json& graph, Scope& scope,
               Autocast autocast);
  void read_results(const Json& node, const Json& graph, Scope& scope, graph::Op& op);
  void inline_graph(const Json& node, const std::string& target, Scope& scope, Autocast autocast);
  void bind_inlined_outputs(const Json& node, const Json& inner, const Scope& inside, Scope& scope,
                            std::size_t first_value);
  void carry_rest();

  graph::Arg argument(const Json& json, const Scope& scope) const;
  graph::Arg list_argument(const std::string& kind, const Json& items, const Scope& scope) const;
  graph::Arg lookup(const std::string& name, const Scope& scope) const;
  graph::ValueId lookup_value(const std::string& name, const Scope& scope) const;
  graph::ValueId define(const std::string& name, const Json& graph, Scope& scope);
  graph::Value describe(const std::string& name, const Json& graph);
  std::string fresh(const std::string& wanted, std::set<std::string>& used) const;

  /// Inserts the casts autocast would make before `op`.
  void apply_autocast(graph::Op& op, const Json& node, const Json& graph, Autocast autocast);

  JsonReader& reader_;
  const Json& root_;
  graph::Program program_;
  SymbolAssumptions assumptions_;
  std::set<std::string> value_names_, op_names_;
  bool inside_ = false;  ///< reading a sub-graph, whose names may clash
};

/// The dotted path of the innermost module in a node's nn_module_stack text, or "".
std::string module_path(const std::string& nn_module_stack);

}  // namespace pollard::models::io::pt2
