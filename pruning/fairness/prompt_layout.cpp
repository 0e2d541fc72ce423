// SPDX-License-Identifier: Apache-2.0
#include "pruning/fairness/prompt_layout.h"

#include "graph/error.h"

namespace pollard::pruning::fairness {

void prompts_lack(const std::string& what) {
  throw UserError({.code = "E0392",
                   .exit = Exit::BadFile,
                   .subject = "prompts",
                   .message = what,
                   .where = {},
                   .why = {},
                   .help = "docs/fairness.md says what each metric needs"});
}

TokenIds ids_of(const Text& text, const Encode& encode) {
  if (const auto* ids = std::get_if<TokenIds>(&text)) return *ids;
  if (!encode) prompts_lack("hold text, but the model has no tokenizer: give token ids, or its folder");
  return encode(std::get<std::string>(text));
}

std::vector<const PromptAxis*> chosen_axes(const PromptSet& prompts, const std::vector<std::string>& names) {
  std::vector<const PromptAxis*> out;
  for (const std::string& name : names) out.push_back(&prompts.axis(name));
  if (names.empty())
    for (const PromptAxis& axis : prompts.axes) out.push_back(&axis);
  return out;
}

void for_each_prompt(const std::vector<const PromptAxis*>& axes,
                     const std::function<void(const Text& prompt)>& visit) {
  for (const PromptAxis* axis : axes)
    for (const Subgroup& group : axis->subgroups)
      for (const Text& prompt : group.prompts) visit(prompt);
}

PromptLayout::PromptLayout(const std::vector<const PromptAxis*>& axes) {
  for (const PromptAxis* axis : axes) {
    axes_.push_back({.name = axis->name, .groups = {}, .sizes = {}});
    for (const Subgroup& g : axis->subgroups) {
      axes_.back().groups.push_back(g.name);
      axes_.back().sizes.push_back(g.prompts.size());
    }
  }
}

std::vector<AxisBias> PromptLayout::fill(const std::function<double(std::size_t)>& value,
                                         const Reading& reading) const {
  std::vector<AxisBias> out;
  for (std::size_t next = 0; const Axis& axis : axes_) {
    out.push_back({.axis = axis.name, .bias = 0, .groups = axis.groups, .values = {}, .reading = reading});
    for (const std::size_t prompts : axis.sizes) {
      auto& values = out.back().values.emplace_back();
      const std::size_t count = prompts * static_cast<std::size_t>(reading.values_a_prompt);
      for (std::size_t i = 0; i < count; ++i) values.push_back(value(next++));
    }
    out.back().bias = bias_of(reading, out.back().values);
  }
  return out;
}

}  // namespace pollard::pruning::fairness
