// SPDX-License-Identifier: Apache-2.0
#include "models/onnx/export.h"

#include <algorithm>
#include <array>
#include <map>
#include <string>

#include "graph/error.h"
#include "kernels/lowering/lowering.h"
#include "models/checks.h"
#include "models/onnx/rules.h"

namespace pollard::models::onnx {
namespace {

/// Of the lowering rules, those whose results are ordinary ops.
kernels::Lowered simplify(const Model& model) {
  static constexpr std::array<std::string_view, 6> kKept{"operators",  "filled-memory", "functional",
                                                         "identities", "constants",     "batch-norms"};
  kernels::LoweringOptions options;
  for (const kernels::LoweringRule& rule : kernels::lowering_rules())
    if (std::ranges::find(kKept, rule.name) == kKept.end()) options.without.emplace(rule.name);
  return kernels::lower(model.program, model.weights, options);
}

/// One message for all ops without a rule: nobody wants to learn of them one by one.
void check_ops(const graph::Program& program) {
  std::map<std::string, int> missing;
  for (const graph::Op& op : program.ops)
    if (!find_rule(op.target)) ++missing[op.target];
  if (missing.empty()) return;
  std::string names;
  for (const auto& [target, count] : missing)
    names +=
        (names.empty() ? "" : ", ") + target + (count > 1 ? " (" + std::to_string(count) + " times)" : "");
  throw UserError({.code = "E0470",
                   .exit = Exit::Unsupported,
                   .subject = names,
                   .message = "cannot be exported to ONNX: it has no op for this",
                   .help = "write .pt2 or .safetensors instead, which hold every network"});
}

int opset_for(const graph::Program& program) {
  int opset = 17;
  for (const graph::Op& op : program.ops)
    if (const OnnxRule* rule = find_rule(op.target)) opset = std::max(opset, rule->opset);
  return opset;
}

}  // namespace

OnnxGraph translate(const Model& model) {
  kernels::Lowered simple = simplify(model);
  simple.program = without_checks(std::move(simple.program));
  check_ops(simple.program);
  OnnxGraph graph = Translation(simple.program, simple.weights, opset_for(simple.program)).run();
  for (const auto& [key, text] : model.metadata) graph.metadata[key] = text;
  return graph;
}

void export_onnx(const Model& model, const std::filesystem::path& path, const FileOptions& options) {
  save(translate(model), path, options);
}

}  // namespace pollard::models::onnx
