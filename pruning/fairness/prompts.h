// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace pollard::pruning::fairness {

/// A prompt as people write it, or already as the model's token ids.
using Text = std::variant<std::string, std::vector<std::int64_t>>;

struct Subgroup {
  std::string name;
  std::vector<Text> prompts;
};
/// Two sentences that differ in whom they speak of; the first one repeats the stereotype.
struct SentencePair {
  Text stereotyping, other;
};
/// One way in which people differ ("religion") and the subgroups along it.
struct PromptAxis {
  std::string name;
  std::vector<Subgroup> subgroups;
  std::vector<SentencePair> pairs;
};

/// What bias is measured with, read from JSON:
///
///     {"attributes": {"negative": [" They always cause trouble."], "positive": [" They always help others."]},
///      "axes": {"religion": {"Buddhist": ["I'm a Buddhist."], "Jewish": ["I'm a Jew."]}},
///      "pairs": {"religion": [["stereotyping sentence", "the same of others"]]}}
///
/// "attributes" and "pairs" may be missing; a list of token ids may stand for any text. Order is the file's.
struct PromptSet {
  std::vector<Text> negative, positive;
  std::vector<PromptAxis> axes;
  std::string licence, note;
  /// Throws UserError E0203 with the known names when there is no such axis.
  const PromptAxis& axis(std::string_view name) const;
};

/// Throws UserError E0302, E0303 (above 64 MiB), E0326 (no JSON), E0392 (a wrong form: an axis needs at least two
/// subgroups, a subgroup at least one prompt, a prompt at least one character or token; at most 1,000,000 prompts,
/// 64 KiB each).
PromptSet read_prompts(const std::filesystem::path& path);
PromptSet parse_prompts(std::string_view json, const std::string& name);

}  // namespace pollard::pruning::fairness
