// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace pollard::pruning {

/// The settings of a criterion, "name:key=value,key=value". Every getter takes its key; finish() refuses what is left.
/// All throw UserError E0208 that names the text as written.
class CriterionOptions {
 public:
  explicit CriterionOptions(std::string_view text);

  const std::string& name() const { return name_; }

  /// A number of at least `least`.
  double number(std::string_view key, double fallback, double least = 0);
  std::int64_t integer(std::string_view key, std::int64_t fallback, std::int64_t least = 1);

  bool pick_yes(std::string_view key, bool fallback);  ///< "yes" or "no"

  template <class Enum>
  Enum pick(std::string_view key, std::span<const std::pair<std::string_view, Enum>> known, Enum fallback) {
    const std::string text = take(key);
    if (text.empty()) return fallback;
    std::string names;
    for (const auto& [name, value] : known) {
      if (name == text) return value;
      names += (names.empty() ? "" : ", ") + std::string(name);
    }
    refuse("\"" + text + "\" is no value of " + std::string(key), std::string(key) + " is one of " + names);
  }

  void finish() const;
  [[noreturn]] void refuse(const std::string& message, const std::string& help) const;

 private:
  std::string take(std::string_view key);  ///< "" when absent

  std::string text_, name_, asked_;
  std::map<std::string, std::string, std::less<>> left_;
};

}  // namespace pollard::pruning
