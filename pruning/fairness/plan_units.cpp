// SPDX-License-Identifier: Apache-2.0
// From chosen units to a plan that the network can carry out.
#include <algorithm>
#include <map>

#include "graph/cost.h"
#include "pruning/criteria/measured_removal.h"
#include "pruning/eligible.h"
#include "pruning/fairness/scoreboard.h"

namespace pollard::pruning::fairness {
namespace {

using Ids = std::vector<std::int64_t>;

/// The chosen units by group, and what the network asks of their numbers.
class Selection {
 public:
  Selection(const graph::Dependencies& d, const Scoreboard& board, const Ids& chosen) : d_(d), board_(board) {
    for (std::int64_t i = 0; i < std::ssize(board.units); ++i) known_[group_of(i)].push_back(i);
    for (const std::int64_t i : chosen) chosen_[group_of(i)].push_back(i);
  }

  void keep_one_a_group() {
    for (auto& [group, ids] : chosen_) {
      const graph::Group& g = d_.groups[static_cast<std::size_t>(group)];
      if (std::ssize(ids) < d_.axes[static_cast<std::size_t>(g.axis)].size) continue;
      sort_by_cost(ids);
      warnings_.push_back("every unit of group " + g.id + " was chosen; unit " +
                          std::to_string(board_.units[static_cast<std::size_t>(ids.back())].unit) + " stays");
      ids.pop_back();
    }
  }

  /// Tied groups lose equally many, and so do the axes that follow them without being stored.
  void level(const Class& c) {
    if (c.groups.size() + c.followers.size() < 2) return;
    std::size_t total = 0, most = static_cast<std::size_t>(c.size) - 1;
    for (const std::int32_t group : c.groups) {
      total += chosen_[group].size();
      most = std::min(most, known_[group].size());
    }
    const std::size_t each = std::min(total / c.groups.size(), most);
    if (std::ranges::any_of(c.groups, [&](std::int32_t group) { return chosen_[group].size() != each; }))
      warnings_.push_back("group " + d_.groups[static_cast<std::size_t>(c.groups.front())].id +
                          " and those it is tied to lose " + std::to_string(each) + " units each, for " +
                          std::to_string(total) + " that were chosen in all");
    for (const std::int32_t group : c.groups) resize(group, each);
    for (const graph::AxisIndex axis : c.followers) following_[axis] = static_cast<std::int64_t>(each);
  }

  graph::Removal removal() const {
    std::vector<Unit> units;
    for (const auto& [group, ids] : chosen_)
      for (const std::int64_t i : ids) units.push_back(board_.units[static_cast<std::size_t>(i)]);
    graph::Removal out = removal_of(d_, units);
    for (const auto& [axis, count] : following_)
      for (std::int64_t i = 0; i < count; ++i) out.removed[static_cast<std::size_t>(axis)].push_back(i);
    return out;
  }
  std::vector<std::string> warnings() && { return std::move(warnings_); }

 private:
  std::int32_t group_of(std::int64_t i) const { return board_.units[static_cast<std::size_t>(i)].group; }
  void sort_by_cost(Ids& ids) const {
    std::ranges::stable_sort(ids, {},
                             [&](std::int64_t i) { return board_.performance[static_cast<std::size_t>(i)]; });
  }
  /// Chosen ones first, the cheapest of them before the others.
  void resize(std::int32_t group, std::size_t count) {
    Ids& ids = chosen_[group];
    sort_by_cost(ids);
    Ids others = known_[group];
    std::erase_if(others, [&](std::int64_t i) { return std::ranges::find(ids, i) != ids.end(); });
    sort_by_cost(others);
    ids.insert(ids.end(), others.begin(), others.end());
    ids.resize(count);
  }

  const graph::Dependencies& d_;
  const Scoreboard& board_;
  std::map<std::int32_t, Ids> known_, chosen_;  ///< by group
  std::map<graph::AxisIndex, std::int64_t> following_;
  std::vector<std::string> warnings_;
};

}  // namespace

Plan plan_for(const models::Model& model, const graph::Dependencies& d, const Scoreboard& board,
              std::vector<std::int64_t> chosen, const Choice& choice) {
  Selection selection(d, board, chosen);
  selection.keep_one_a_group();
  for (const Class& c : classes_of(model, d, {})) selection.level(c);
  Plan out{.options = {},
           .removal = selection.removal(),
           .groups = {},
           .before = {},
           .after = {},
           .warnings = std::move(selection).warnings()};
  out.options.heads = choice.alpha;
  out.options.criterion = MeasuredRemoval::text(to_string(choice.method), choice.gamma);
  out.options.seed = choice.seed;
  for (std::int32_t g = 0; g < static_cast<std::int32_t>(d.groups.size()); ++g) {
    const auto axis = static_cast<std::size_t>(d.groups[static_cast<std::size_t>(g)].axis);
    out.groups.push_back({.group = g, .removed = out.removal.removed[axis], .kept_whole = {}});
    if (out.groups.back().removed.empty()) out.groups.back().kept_whole = "none of its units was chosen";
  }
  const graph::CostModel cost(model.program, d);
  out.before = cost.evaluate(graph::full_widths(d));
  out.after = cost.evaluate(out.removal.widths(d));
  if (out.removal.empty()) out.warnings.push_back("nothing was removed");
  return out;
}

}  // namespace pollard::pruning::fairness
