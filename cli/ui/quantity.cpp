// SPDX-License-Identifier: Apache-2.0
#include "cli/ui/quantity.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <span>

#include "cli/ui/text.h"
#include "graph/error.h"

namespace pollard::cli {
namespace {

struct Suffix {
  std::string_view name;
  double factor;
};

constexpr std::array<Suffix, 9> count_suffixes{{{"", 1},
                                                {"k", 1e3},
                                                {"K", 1e3},
                                                {"M", 1e6},
                                                {"G", 1e9},
                                                {"T", 1e12},
                                                {"KiB", 0x1p10},
                                                {"MiB", 0x1p20},
                                                {"GiB", 0x1p30}}};
constexpr std::array<Suffix, 7> time_suffixes{
    {{"s", 1}, {"ms", 1e-3}, {"us", 1e-6}, {"ns", 1e-9}, {"m", 60}, {"min", 60}, {"h", 3600}}};
constexpr std::array<Suffix, 2> factor_suffixes{{{"", 1}, {"x", 1}}};
constexpr std::array<Suffix, 2> fraction_suffixes{{{"", 1}, {"%", 0.01}}};

[[noreturn]] void refuse(std::string_view text, const std::string& option, const std::string& expected) {
  throw UserError({.code = "E0203",
                   .exit = Exit::Usage,
                   .subject = option,
                   .message = fmt::format("\"{}\" is not {}", text, expected),
                   .where = {},
                   .why = {},
                   .help = {}});
}

// A finite decimal number followed by one of the suffixes; nothing before, between (but spaces) or after.
std::optional<double> with_suffix(std::string_view text, std::span<const Suffix> suffixes) {
  double value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || !std::isfinite(value)) return std::nullopt;
  std::string_view rest(stop, static_cast<std::size_t>(end - stop));
  rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
  for (const Suffix& suffix : suffixes)
    if (rest == suffix.name) return value * suffix.factor;
  return std::nullopt;
}

std::optional<std::int64_t> whole(std::string_view text) {
  std::string digits(text);
  std::erase(digits, ',');
  const auto value = with_suffix(digits, count_suffixes);
  if (!value || *value < 0 || *value > 9e15 || std::abs(*value - std::round(*value)) > 1e-6)
    return std::nullopt;
  return std::llround(*value);
}

}  // namespace

double parse_number(std::string_view text, const std::string& option) {
  const auto value = with_suffix(text, std::span(count_suffixes).first(1));
  if (!value) refuse(text, option, "a number, for example 0.5");
  return *value;
}

std::int64_t parse_count(std::string_view text, const std::string& option) {
  const auto value = whole(text);
  if (!value) refuse(text, option, "a count, for example 855770 or 1.2M");
  return *value;
}

double parse_factor(std::string_view text, const std::string& option) {
  const auto value = with_suffix(text, factor_suffixes);
  if (!value || *value <= 1) refuse(text, option, "a factor above 1, for example 2x");
  return *value;
}

double parse_fraction(std::string_view text, const std::string& option) {
  const auto value = with_suffix(text, fraction_suffixes);
  if (!value || *value < 0 || *value > 1)
    refuse(text, option, "a fraction between 0 and 1, for example 0.5 or 50%");
  return *value;
}

double parse_seconds(std::string_view text, const std::string& option) {
  const auto value = with_suffix(text, time_suffixes);
  if (!value || *value <= 0) refuse(text, option, "a time, for example 3ms or 1.5s");
  return *value;
}

std::vector<std::int64_t> parse_shape(std::string_view text, const std::string& option) {
  std::vector<std::int64_t> shape;
  for (const std::string& part : split(text, 'x')) {
    const auto value = whole(part);
    if (!value || *value == 0) refuse(text, option, "a shape, for example 1x3x224x224");
    shape.push_back(*value);
  }
  return shape;
}

std::vector<std::int64_t> parse_counts(std::string_view text, const std::string& option) {
  std::vector<std::int64_t> counts;
  for (const std::string& part : split(text, ',')) {
    const auto value = whole(part);
    if (!value || *value == 0) refuse(text, option, "a list of counts, for example 1,8,64");
    counts.push_back(*value);
  }
  return counts;
}

std::vector<double> parse_numbers(std::string_view text, const std::string& option) {
  std::vector<double> numbers;
  for (const std::string& part : split(text, ',')) numbers.push_back(parse_number(part, option));
  return numbers;
}

std::vector<double> parse_range(std::string_view text, const std::string& option) {
  const std::vector<std::string> parts = split(text, ':');
  if (parts.size() != 3) refuse(text, option, "a range first:last:step, for example 0.1:0.8:0.1");
  const double first = parse_number(parts[0], option), last = parse_number(parts[1], option);
  const double step = parse_number(parts[2], option);
  constexpr double most = 1000;
  if (step <= 0 || last < first || (last - first) / step > most)
    refuse(text, option, "a rising range of at most 1000 steps, for example 0.1:0.8:0.1");
  std::vector<double> values;
  const auto count = static_cast<int>(std::floor((last - first) / step + 1e-9));
  for (int i = 0; i <= count; ++i) values.push_back(first + i * step);
  return values;
}

}  // namespace pollard::cli
