// SPDX-License-Identifier: Apache-2.0
#include "models/onnx/rules.h"

#include <map>

#include "graph/error.h"

namespace pollard::models::onnx {
namespace {

std::map<std::string_view, const OnnxRule*> build_table() {
  std::map<std::string_view, const OnnxRule*> table;
  for (std::span<const OnnxRule> rules :
       {elementwise_rules(), activation_rules(), arithmetic_rules(), shape_rules(), segment_rules(),
        product_rules(), convolution_rules(), pooling_rules(), norm_rules(), attention_rules(),
        recurrent_rules(), reduction_rules(), indexing_rules(), creation_rules(), spatial_rules(),
        size_rules()})
    for (const OnnxRule& rule : rules)
      POLLARD_CHECK(table.emplace(rule.name, &rule).second, "two ONNX rules for " + std::string(rule.name));
  return table;
}

/// "linear" of "aten.linear.default"; ops on sizes are listed with their whole name.
std::string_view table_name(std::string_view target) {
  if (!target.starts_with("aten.")) return target;
  target.remove_prefix(5);
  return target.substr(0, target.find('.'));
}

}  // namespace

const OnnxRule* find_rule(std::string_view target) {
  static const auto table = build_table();
  const auto found = table.find(table_name(target));
  return found == table.end() ? nullptr : found->second;
}

}  // namespace pollard::models::onnx
