// SPDX-License-Identifier: Apache-2.0
#include "cli/ui/format.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <span>

namespace pollard::cli {
namespace {

struct Unit {
  double size;
  const char* name;
};

constexpr std::array<Unit, 4> second_units{{{1.0, "s"}, {1e-3, "ms"}, {1e-6, "us"}, {1e-9, "ns"}}};
constexpr std::array<const char*, 6> byte_units{"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
constexpr std::array<const char*, 5> thousand_units{"", "k", "M", "G", "T"};

// Steps up while the printed form would reach four digits, so 999,960 reads "1.0 M" and not "1000.0 k".
std::string scaled(double value, double step, std::span<const char* const> units) {
  std::size_t unit = 0;
  double shown = value;
  while (unit + 1 < units.size() && std::abs(shown) >= (unit == 0 ? step : step - 0.05)) {
    shown /= step;
    ++unit;
  }
  if (unit == 0)
    return *units[0] == '\0' ? fmt::format("{:.0f}", value) : fmt::format("{:.0f} {}", value, units[0]);
  return fmt::format("{:.1f} {}", shown, units[unit]);
}

const Unit& unit_of(double seconds) {
  for (const Unit& unit : second_units)
    if (std::abs(seconds) >= unit.size) return unit;
  return second_units.back();
}

// Three significant digits: 4.21, 42.1, 421.
int decimals_for(double shown) {
  if (std::abs(shown) >= 99.95) return 0;
  return std::abs(shown) >= 9.995 ? 1 : 2;
}

int decimals_for_spread(double value, double spread) {
  const int wanted = spread > 0 ? static_cast<int>(std::ceil(-std::log10(spread))) : 0;
  return std::clamp(std::max(decimals_for(value), wanted), 0, 6);
}

}  // namespace

std::string format_count(std::int64_t value) {
  std::string digits = std::to_string(value);
  const int first = value < 0 ? 1 : 0;
  for (int i = static_cast<int>(digits.size()) - 3; i > first; i -= 3)
    digits.insert(static_cast<std::size_t>(i), ",");
  return digits;
}

std::string format_short(double value) { return scaled(value, 1000.0, thousand_units); }

std::string format_bytes(double bytes) { return scaled(bytes, 1024.0, byte_units); }

std::string format_seconds(double seconds) {
  if (!std::isfinite(seconds)) return "?";
  if (seconds >= 3599.5) {
    const auto minutes = std::llround(seconds / 60);
    return fmt::format("{} h {:02} min", minutes / 60, minutes % 60);
  }
  if (seconds >= 119.5) {
    const auto whole = std::llround(seconds);
    return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  }
  if (seconds == 0) return "0 s";
  const Unit& unit = unit_of(seconds);
  const double shown = seconds / unit.size;
  return fmt::format("{:.{}f} {}", shown, decimals_for(shown), unit.name);
}

std::string format_factor(double factor) { return fmt::format("{:.2f}x", factor); }

std::string format_fixed(double value, int decimals) { return fmt::format("{:.{}f}", value, decimals); }

std::string format_scientific(double value) {
  if (value == 0) return "0";
  std::string text = fmt::format("{:.1e}", value);
  // 2.1e-06 -> 2.1e-6
  const std::size_t exponent = text.find('e') + 2;
  while (exponent + 1 < text.size() && text[exponent] == '0') text.erase(exponent, 1);
  return text;
}

std::string format_change(double before, double after) {
  if (before == 0) return "-";
  const double percent = 100.0 * (after - before) / before;
  if (std::abs(percent) < 0.05) return before == after ? "0.0 %" : (percent < 0 ? "-0.0 %" : "+0.0 %");
  return fmt::format("{:+.1f} %", percent);
}

std::string format_fewer(double before, double after) {
  if (before == after) return "unchanged";
  if (after == 0 || before == 0) return "-";
  return after < before ? format_factor(before / after) + " fewer" : format_factor(after / before) + " more";
}

std::string format_seconds_spread(double seconds, double spread) {
  const Unit& unit = unit_of(seconds);
  const double shown = seconds / unit.size;
  const int decimals = decimals_for_spread(shown, spread / unit.size);
  return fmt::format("{:.{}f} {} +-{:.{}f}", shown, decimals, unit.name, spread / unit.size, decimals);
}

std::string format_spread(double value, double spread) {
  const int decimals = decimals_for_spread(value, spread);
  return fmt::format("{:.{}f} +-{:.{}f}", value, decimals, spread, decimals);
}

}  // namespace pollard::cli
