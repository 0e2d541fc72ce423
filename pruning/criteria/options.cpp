// SPDX-License-Identifier: Apache-2.0
#include "pruning/criteria/options.h"

#include <array>
#include <charconv>
#include <cmath>

#include "graph/error.h"

namespace pollard::pruning {

CriterionOptions::CriterionOptions(std::string_view text) : text_(text) {
  const auto colon = text.find(':');
  name_ = text.substr(0, colon);
  std::string_view list = colon == std::string_view::npos ? "" : text.substr(colon + 1);
  while (!list.empty()) {
    const std::string_view item = list.substr(0, list.find(','));
    list.remove_prefix(std::min(list.size(), item.size() + 1));
    const auto equals = item.find('=');
    if (equals == std::string_view::npos || equals == 0 || equals + 1 == item.size())
      refuse("\"" + std::string(item) + "\" is not key=value", "for example magnitude:p=1");
    left_[std::string(item.substr(0, equals))] = std::string(item.substr(equals + 1));
  }
}

std::string CriterionOptions::take(std::string_view key) {
  asked_ += (asked_.empty() ? "" : ", ") + std::string(key);
  const auto found = left_.find(key);
  if (found == left_.end()) return {};
  std::string value = std::move(found->second);
  left_.erase(found);
  return value;
}

double CriterionOptions::number(std::string_view key, double fallback, double least) {
  const std::string text = take(key);
  if (text.empty()) return fallback;
  double value = 0;
  const auto end = std::from_chars(text.data(), text.data() + text.size(), value);
  if (end.ec != std::errc() || end.ptr != text.data() + text.size() || !std::isfinite(value) || value < least)
    refuse("no option " + std::string(key) + "=" + text,
           std::string(key) + " is a number of at least " + std::to_string(least));
  return value;
}

std::int64_t CriterionOptions::integer(std::string_view key, std::int64_t fallback, std::int64_t least) {
  const double value = number(key, static_cast<double>(fallback), static_cast<double>(least));
  if (value != std::floor(value) || value > 1e15)
    refuse(std::string(key) + " is not a whole number", "for example " + std::string(key) + "=8");
  return static_cast<std::int64_t>(value);
}

bool CriterionOptions::pick_yes(std::string_view key, bool fallback) {
  constexpr std::array<std::pair<std::string_view, bool>, 2> kAnswers{{{"no", false}, {"yes", true}}};
  return pick<bool>(key, kAnswers, fallback);
}

void CriterionOptions::finish() const {
  if (left_.empty()) return;
  refuse("no option " + left_.begin()->first + "=" + left_.begin()->second,
         asked_.empty() ? name_ + " has no options" : name_ + " takes " + asked_);
}

void CriterionOptions::refuse(const std::string& message, const std::string& help) const {
  throw UserError({.code = "E0208",
                   .exit = Exit::Usage,
                   .subject = "--criterion " + text_,
                   .message = message,
                   .where = {},
                   .why = {},
                   .help = help});
}

}  // namespace pollard::pruning
