// SPDX-License-Identifier: Apache-2.0
#include "pruning/eligible.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "graph/error.h"

namespace pollard::pruning {
namespace {

using graph::Axis;
using graph::Dependencies;

const Axis& axis_of(const Dependencies& d, std::int32_t group) {
  return d.axes[static_cast<std::size_t>(d.groups[static_cast<std::size_t>(group)].axis)];
}

bool touches(const models::Model& model, const Axis& axis, const std::vector<std::string>& patterns) {
  return std::ranges::any_of(axis.members, [&](const graph::Member& m) {
    const std::string& name = model.program.inputs[static_cast<std::size_t>(m.input)].source;
    return std::ranges::any_of(patterns,
                               [&](const std::string& pattern) { return glob_match(pattern, name); });
  });
}

/// The share asked for this axis alone, when the options name one.
std::optional<double> own_ratio(const models::Model& model, const Axis& axis, const PlanOptions& options) {
  for (const auto& [pattern, ratio] : options.layers)
    if (touches(model, axis, {pattern})) return ratio;
  if (axis.role == graph::Role::Head) return options.heads;
  if (axis.role == graph::Role::HeadDim) return options.head_dim;
  return std::nullopt;
}

/// Heads or head dims asked for alone leave everything else whole.
bool only_own_ratios(const PlanOptions& options) { return !options.ratio && !options.has_budget(); }

std::string why_whole(const models::Model& model, const Axis& axis, const PlanOptions& options,
                      const std::optional<double>& ratio) {
  if (touches(model, axis, options.ignore)) return "named by --ignore";
  if (!options.only.empty() && !touches(model, axis, options.only)) return "not named by --only";
  if (options.exact_only && axis.renormalised) return "renormalised, and --exact was given";
  if (ratio && *ratio == 0) return "its own ratio is 0";
  if (!ratio && only_own_ratios(options)) return "no ratio was asked for it";
  return {};
}

}  // namespace

std::int64_t whole_steps(const Class& c, std::int64_t units) {
  return units < c.first_step ? 0 : c.first_step + (units - c.first_step) / c.step * c.step;
}

void set_limits(Class& c, const PlanOptions& options, std::int64_t multiple) {
  const std::int64_t share =
      static_cast<std::int64_t>(std::floor(static_cast<double>(c.size) * options.max_ratio + 1e-9));
  c.removable =
      std::max<std::int64_t>(0, std::min(share, c.size - std::max<std::int64_t>(1, options.min_width)));
  c.step = std::max<std::int64_t>(1, multiple);
  if (c.step > 1) {
    // The first step goes down to the next multiple, later ones from multiple to multiple.
    c.first_step = c.size % c.step == 0 ? c.step : c.size % c.step;
    c.removable = c.size <= c.step ? 0 : whole_steps(c, c.removable);
  }
  if (c.removable > 0 || !c.kept_whole.empty()) return;
  c.kept_whole = c.step > 1 ? "no narrower multiple of " + std::to_string(c.step) +
                                  " within the floors (width " + std::to_string(c.size) + ")"
                            : "already at its floor (width " + std::to_string(c.size) + ")";
}

bool glob_match(std::string_view pattern, std::string_view name) {
  std::size_t p = 0, n = 0, star = std::string_view::npos, mark = 0;
  while (n < name.size()) {
    if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == name[n])) {
      ++p;
      ++n;
    } else if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      mark = n;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      n = ++mark;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

std::vector<Class> classes_of(const models::Model& model, const Dependencies& d, const PlanOptions& options) {
  std::vector<Class> out;
  std::map<std::int32_t, std::size_t> by_tie;
  for (std::int32_t g = 0; g < static_cast<std::int32_t>(d.groups.size()); ++g) {
    const Axis& axis = axis_of(d, g);
    const auto tied = axis.tie >= 0 ? by_tie.find(axis.tie) : by_tie.end();
    if (tied != by_tie.end()) {
      out[tied->second].groups.push_back(g);
    } else {
      if (axis.tie >= 0) by_tie[axis.tie] = out.size();
      out.push_back({.groups = {g}, .followers = {}, .size = axis.size});
    }
    Class& c = axis.tie >= 0 ? out[by_tie[axis.tie]] : out.back();
    const std::optional<double> ratio = own_ratio(model, axis, options);
    if (ratio) c.ratio = ratio;
    if (c.kept_whole.empty()) c.kept_whole = why_whole(model, axis, options, ratio);
  }
  for (graph::AxisIndex a = 0; a < static_cast<graph::AxisIndex>(d.axes.size()); ++a) {
    const Axis& axis = d.axes[static_cast<std::size_t>(a)];
    if (axis.tie >= 0 && !axis.stored && by_tie.contains(axis.tie))
      out[by_tie[axis.tie]].followers.push_back(a);
  }
  for (Class& c : out) set_limits(c, options, options.round_to);
  return out;
}

}  // namespace pollard::pruning
