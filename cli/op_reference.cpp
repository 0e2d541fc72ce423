// SPDX-License-Identifier: Apache-2.0
#include "cli/op_reference.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <vector>

#include "graph/op_rules.h"

namespace pollard::cli {
namespace {

using graph::OpRule;
using graph::Zero;

struct Part {
  const char* heading;
  const char* about;
  std::span<const OpRule> rules;
};

std::vector<Part> parts() {
  return {
      {"Regular", "One line each in the signature notation.", graph::regular_rules()},
      {"Pointwise", "All operands and the result share their terms, broadcasting aside.",
       graph::pointwise_rules()},
      {"Shape", "Views, permutations, expansions: they split, merge and move terms.", graph::shape_rules()},
      {"Segments", "Concatenation, splits and slices: sums of terms.", graph::segment_rules()},
      {"Convolution", "Channels by groups; positions stay.", graph::convolution_rules()},
      {"Attention", "Queries and keys share what they are multiplied over.", graph::attention_rules()},
      {"Norms", "Statistics over an axis make it renormalised.", graph::norm_rules()},
      {"Recurrent", "Gates times hidden size; layers and directions are tied in number.",
       graph::recurrent_rules()},
      {"Reductions", "Sums and means renormalise; others freeze what they run over.",
       graph::reduction_rules()},
      {"Indexing", "What is addressed by value keeps its units.", graph::indexing_rules()},
      {"Creation", "Tensors made of sizes.", graph::creation_rules()},
      {"Spatial", "Shuffles and windows over positions.", graph::spatial_rules()}};
}

const char* zero_text(Zero zero) {
  switch (zero) {
    case Zero::Keeps: return "zero stays zero";
    case Zero::Additive: return "zero stays, unless a number is added";
    case Zero::Product: return "one zero operand suffices";
    case Zero::First: return "zero where the first operand is";
    case Zero::Loses: break;
  }
  return "zero does not stay";
}

std::string row(const OpRule& rule, bool pointwise) {
  const std::string how = !rule.signature.empty() ? fmt::format("`{}`", rule.signature)
                          : pointwise             ? zero_text(rule.zero)
                                                  : "a function";
  return fmt::format("| `{}` | {} | {} | {} |\n", rule.name, how, rule.macs ? "yes" : "",
                     rule.rewrite != nullptr ? "yes" : "");
}

}  // namespace

std::string op_reference() {
  std::string out = fmt::format(
      "# Op rules\n\n"
      "Written by `pollard op-reference` from the table itself (`graph/op_rules.h`); a test keeps this file "
      "equal to "
      "it.\n{} ops; an in-place form (`relu_`) has the rule of its twin. What is not here is an unknown op: "
      "it freezes "
      "what it\ntouches and is named once. How to add one: tutorials/add-an-op-rule.md.\n\n"
      "A signature names the operands as the schema does, one letter a dimension: equal letters are one "
      "term, `n..` any\n"
      "number of dimensions, `?` optional, `+` added, `=` only shares terms, `a/b` two names in two "
      "overloads, "
      "`v!vocabulary`\nfrozen with that reason. *MACs*: costs the product of its letters (functions count "
      "their own). "
      "*arguments*:\ninteger arguments follow the sizes after pruning.\n",
      graph::all_rules().size());
  for (const Part& part : parts()) {
    out += fmt::format("\n## {}\n\n{}\n\n| op | rule | MACs | arguments |\n| --- | --- | --- | --- |\n",
                       part.heading, part.about);
    std::vector<const OpRule*> rules;
    for (const OpRule& rule : part.rules) rules.push_back(&rule);
    std::ranges::sort(rules, {}, &OpRule::name);
    for (const OpRule* rule : rules) out += row(*rule, std::string_view(part.heading) == "Pointwise");
  }
  return out;
}

}  // namespace pollard::cli
