// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>

#include <set>
#include <string>

#include "graph/program.h"
#include "models/io/symbolic_text.h"

namespace pollard::models::io::pt2 {

using OrderedJson = nlohmann::ordered_json;

/// Writes a Program in torch.export's serialized form. Which kind an argument gets and whether it is positional
/// follows from the op's schema, so a program that never was a .pt2 (a captured model) is written the same way.
class GraphWriter {
 public:
  explicit GraphWriter(const graph::Program& program);

  /// The whole of models/<name>.json.
  OrderedJson exported_program() const;

  /// TensorMeta of a value; `strides` replaces the value's own when given (a stored weight's real ones).
  OrderedJson tensor_meta(const graph::Value& value,
                          const std::vector<std::int64_t>* strides = nullptr) const;

 private:
  OrderedJson graph() const;
  OrderedJson values(graph::Value::Kind kind) const;
  OrderedJson node(const graph::Op& op) const;
  OrderedJson node_inputs(const graph::Op& op) const;
  OrderedJson node_outputs(const graph::Op& op) const;
  OrderedJson metadata(const graph::Op& op) const;
  OrderedJson signature() const;
  OrderedJson input_spec(const graph::Input& input) const;
  OrderedJson output_spec(const graph::Output& output) const;
  OrderedJson module_call_graph() const;
  OrderedJson range_constraints() const;
  OrderedJson carried(const char* key, OrderedJson otherwise) const;

  OrderedJson argument(const graph::Arg& arg, const std::string& empty_list_kind) const;
  OrderedJson list_argument(const graph::Arg::List& list, const std::string& empty_list_kind) const;
  OrderedJson value_argument(graph::ValueId id) const;
  OrderedJson size(const graph::Size& size) const;
  std::string node_name(const graph::Op& op) const;

  const graph::Program& program_;
  SymbolAssumptions assumptions_;
  std::set<std::string> value_names_;
};

}  // namespace pollard::models::io::pt2
