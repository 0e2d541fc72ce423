// SPDX-License-Identifier: Apache-2.0
#include "graph/op_rules.h"

#include <algorithm>
#include <map>
#include <string>

#include "graph/error.h"

namespace pollard::graph {
namespace {

std::map<std::string_view, const OpRule*> build_table() {
  std::map<std::string_view, const OpRule*> table;
  for (std::span<const OpRule> rules :
       {regular_rules(), pointwise_rules(), shape_rules(), segment_rules(), convolution_rules(),
        attention_rules(), norm_rules(), recurrent_rules(), reduction_rules(), indexing_rules(),
        creation_rules(), spatial_rules()})
    for (const OpRule& rule : rules)
      POLLARD_CHECK(table.emplace(rule.name, &rule).second, "two rules for " + std::string(rule.name));
  return table;
}

const std::map<std::string_view, const OpRule*>& table() {
  static const auto built = build_table();
  return built;
}

const OpRule* lookup(std::string_view name) {
  const auto found = table().find(name);
  return found == table().end() ? nullptr : found->second;
}

/// "ns::name" of "ns.name.overload", without the namespace for aten.
std::string table_name(std::string_view target) {
  const auto first = target.find('.');
  if (first == std::string_view::npos) return std::string(target);
  const std::string_view space = target.substr(0, first);
  std::string_view name = target.substr(first + 1);
  name = name.substr(0, name.find('.'));
  return space == "aten" ? std::string(name) : std::string(space) + "::" + std::string(name);
}

}  // namespace

const OpRule* find_rule(std::string_view target) {
  std::string name = table_name(target);
  if (const OpRule* rule = lookup(name)) return rule;
  // In-place variants share the rule of their out-of-place twin.
  if (name.ends_with('_') && !name.ends_with("__")) name.pop_back();
  return lookup(name);
}

std::vector<const OpRule*> all_rules() {
  std::vector<const OpRule*> out;
  for (const auto& [name, rule] : table()) out.push_back(rule);
  return out;
}

}  // namespace pollard::graph
