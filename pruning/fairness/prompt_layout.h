// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "pruning/fairness/metrics.h"

namespace pollard::pruning::fairness {

/// Throws UserError E0392: what the prompts lack for a metric.
[[noreturn]] void prompts_lack(const std::string& what);

/// The text's ids. Throws E0392 for words when there is no tokenizer.
TokenIds ids_of(const Text& text, const Encode& encode);

/// The axes of these names in this order, or all. Throws UserError E0203 for a name that is none.
std::vector<const PromptAxis*> chosen_axes(const PromptSet& prompts, const std::vector<std::string>& names);

/// Calls `visit` with every prompt: by axis, by subgroup, in the file's order.
void for_each_prompt(const std::vector<const PromptAxis*>& axes,
                     const std::function<void(const Text& prompt)>& visit);

/// The axes with their subgroups' sizes: how a flat list of values, in for_each_prompt()'s order, becomes lists by
/// subgroup.
class PromptLayout {
 public:
  explicit PromptLayout(const std::vector<const PromptAxis*>& axes);
  /// Judges every axis. `value(i)`: of the i-th value of all, `reading.values_a_prompt` a prompt.
  std::vector<AxisBias> fill(const std::function<double(std::size_t)>& value,
                             const Reading& reading = {}) const;

 private:
  struct Axis {
    std::string name;
    std::vector<std::string> groups;
    std::vector<std::size_t> sizes;
  };
  std::vector<Axis> axes_;
};

}  // namespace pollard::pruning::fairness
