// SPDX-License-Identifier: Apache-2.0
#include "training/schedule.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <utility>

namespace pollard::training {
namespace {

/// Half a cosine from `from` (share 0) to `to` (share 1).
double cosine(double from, double to, double share) {
  return to + (from - to) / 2 * (1 + std::cos(std::numbers::pi * share));
}

double one_cycle(double peak, std::int64_t step, std::int64_t total) {
  constexpr double kRising = 0.3, kStart = 25, kEnd = 1e4;
  const double top = kRising * static_cast<double>(total) - 1, last = static_cast<double>(total) - 1;
  const double at = static_cast<double>(step);
  if (at <= top) return cosine(peak / kStart, peak, top > 0 ? at / top : 1);
  return cosine(peak, peak / kStart / kEnd, last > top ? (at - top) / (last - top) : 1);
}

}  // namespace

double Schedule::rate(std::int64_t step) const {
  if (kind == Kind::OneCycle) return one_cycle(peak, std::min(step, total - 1), total);
  if (step < warm_up) {
    constexpr double kStart = 0.01;
    return peak * (kStart + (1 - kStart) * static_cast<double>(step) / static_cast<double>(warm_up));
  }
  const std::int64_t at = step - warm_up, length = std::max<std::int64_t>(1, total - warm_up);
  switch (kind) {
    case Kind::Cosine:
      return cosine(peak, floor * peak,
                    static_cast<double>(std::min(at, length)) / static_cast<double>(length));
    case Kind::Step:
      return peak * std::pow(factor, static_cast<double>(at / std::max<std::int64_t>(1, period)));
    default: return peak;
  }
}

std::optional<Schedule::Kind> schedule_from_string(std::string_view name) {
  constexpr std::array<std::pair<std::string_view, Schedule::Kind>, 4> kNames{
      {{"constant", Schedule::Kind::Constant},
       {"cosine", Schedule::Kind::Cosine},
       {"step", Schedule::Kind::Step},
       {"one-cycle", Schedule::Kind::OneCycle}}};
  for (const auto& [known, kind] : kNames)
    if (known == name) return kind;
  return std::nullopt;
}

}  // namespace pollard::training
