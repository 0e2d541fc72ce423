// SPDX-License-Identifier: Apache-2.0
// From scores to a plan: units are put in one order of removal, and the target picks a prefix of it.
#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "graph/error.h"
#include "pruning/eligible.h"
#include "pruning/plan.h"

namespace pollard::pruning {
namespace {

using graph::Dependencies;

/// One move of the removal order: class `c` loses its next `units` least important units.
struct Step {
  std::size_t c;
  std::int64_t units;
  double key;
};

class Selection {
 public:
  Selection(const models::Model& model, const Dependencies& d, const PlanOptions& options,
            const CalibrationSet* calibration)
      : d_(d), options_(options), cost_(model.program, d), classes_(classes_of(model, d, options)) {
    const auto criterion = make_criterion(options.criterion);
    scores_ = score(*criterion,
                    {.model = model, .dependencies = d, .seed = options.seed, .calibration = calibration});
    keep_unjudged_whole();
    sort_units();
    keep_nonfinite_whole();
    taken_.assign(classes_.size(), 0);
    for (std::size_t c = 0; c < classes_.size(); ++c)
      if (classes_[c].takes_part() && classes_[c].ratio) taken_[c] = share(classes_[c], *classes_[c].ratio);
    order_steps();
  }

  Plan plan() {
    Plan out{.options = options_,
             .removal = graph::Removal(d_),
             .groups = {},
             .before = {},
             .after = {},
             .warnings = {}};
    out.before = cost_.evaluate(graph::full_widths(d_));
    const std::size_t steps = choose(out.before);
    for (std::size_t s = 0; s < steps; ++s) taken_[steps_[s].c] += steps_[s].units;
    write_removal(out);
    out.after = cost_.evaluate(out.removal.widths(d_));
    return out;
  }

 private:
  Scope scope() const { return options_.scope.value_or(options_.ratio ? Scope::Local : Scope::Global); }

  void keep_unjudged_whole() {
    for (Class& c : classes_)
      for (std::int32_t g : c.groups)
        if (const std::string why = scores_.why_unjudged(static_cast<std::size_t>(g));
            c.kept_whole.empty() && !why.empty())
          c.kept_whole = why;
  }

  /// Units of each group, least important first; ties by index. Without a finite score a unit comes last.
  void sort_units() {
    for (std::vector<double>& scores : scores_.by_group) {
      std::vector<std::int64_t> order(scores.size());
      std::iota(order.begin(), order.end(), 0);
      for (double& score : scores) {
        if (std::isfinite(score)) continue;
        if (!options_.allow_nonfinite) refuse_nonfinite();
        score = INFINITY;  // NaN has no place in an order
      }
      std::ranges::stable_sort(order, {},
                               [&](std::int64_t i) { return scores[static_cast<std::size_t>(i)]; });
      order_.push_back(std::move(order));
    }
  }

  void keep_nonfinite_whole() {
    if (!options_.allow_nonfinite) return;
    for (Class& c : classes_) {
      for (std::int32_t g : c.groups)
        c.removable = std::min<std::int64_t>(
            c.removable, std::ranges::count_if(scores_.by_group[static_cast<std::size_t>(g)],
                                               [](double score) { return std::isfinite(score); }));
      c.removable = whole_steps(c, c.removable);
      if (c.removable == 0 && c.kept_whole.empty()) c.kept_whole = "too few units have a finite score";
    }
  }

  [[noreturn]] static void refuse_nonfinite() {
    throw UserError(
        {.code = "E0325",
         .exit = Exit::BadFile,
         .subject = "scores",
         .message = "a unit has no finite score",
         .where = {},
         .why = "the weights hold NaN or infinite values",
         .help = "look for them with: pollard inspect FILE; --allow-nonfinite keeps such units whole"});
  }

  /// How many units a share of a class is, in whole steps.
  std::int64_t share(const Class& c, double ratio) const {
    return whole_steps(c, std::min(c.removable, static_cast<std::int64_t>(
                                                    std::floor(static_cast<double>(c.size) * ratio + 1e-9))));
  }

  /// Mean score of the k-th least important unit over the class's groups.
  double unit_score(const Class& c, std::int64_t k) const {
    double sum = 0;
    for (std::int32_t g : c.groups) {
      const auto group = static_cast<std::size_t>(g);
      sum += scores_.by_group[group][static_cast<std::size_t>(order_[group][static_cast<std::size_t>(k)])];
    }
    return sum / static_cast<double>(c.groups.size());
  }

  void order_steps() {
    for (std::size_t c = 0; c < classes_.size(); ++c) {
      if (!classes_[c].takes_part() || classes_[c].ratio) continue;
      double before = -INFINITY;
      for (std::int64_t at = 0; at < classes_[c].removable;) {
        const std::int64_t units = at == 0 ? classes_[c].first_step : classes_[c].step;
        double score = 0;
        for (std::int64_t k = at; k < at + units; ++k) score += unit_score(classes_[c], k);
        // Within a class steps stay in order, whatever the scope ranks by.
        before = std::max(before, score / static_cast<double>(units));
        at += units;
        steps_.push_back({.c = c,
                          .units = units,
                          .key = scope() == Scope::Global
                                     ? before
                                     : static_cast<double>(at) / static_cast<double>(classes_[c].size)});
      }
    }
    if (scope() == Scope::Isomorphic) rank_within_kinds();
    std::ranges::stable_sort(
        steps_, [](const Step& a, const Step& b) { return a.key != b.key ? a.key < b.key : a.c < b.c; });
  }

  /// Steps of groups of one kind are ranked together by score; the rank's share is what kinds are compared by.
  void rank_within_kinds() {
    std::map<std::string, std::vector<std::size_t>> kinds;
    std::vector<double> scores;
    std::vector<std::int64_t> done(classes_.size(), 0);
    std::vector<double> running(classes_.size(), -INFINITY);
    for (std::size_t s = 0; s < steps_.size(); ++s) {
      const Class& c = classes_[steps_[s].c];
      double sum = 0;
      for (std::int64_t k = 0; k < steps_[s].units; ++k) sum += unit_score(c, done[steps_[s].c]++);
      running[steps_[s].c] = std::max(running[steps_[s].c], sum / static_cast<double>(steps_[s].units));
      scores.push_back(running[steps_[s].c]);
      kinds[d_.groups[static_cast<std::size_t>(c.groups.front())].signature].push_back(s);
    }
    for (auto& [_, members] : kinds) {
      std::ranges::stable_sort(members, {}, [&](std::size_t s) { return scores[s]; });
      for (std::size_t rank = 0; rank < members.size(); ++rank)
        steps_[members[rank]].key = static_cast<double>(rank + 1) / static_cast<double>(members.size());
    }
  }

  graph::Widths widths_after(std::size_t steps) const {
    std::vector<std::int64_t> taken = taken_;
    for (std::size_t s = 0; s < steps; ++s) taken[steps_[s].c] += steps_[s].units;
    graph::Widths widths = graph::full_widths(d_);
    for (std::size_t c = 0; c < classes_.size(); ++c) {
      for (std::int32_t g : classes_[c].groups)
        widths[static_cast<std::size_t>(d_.groups[static_cast<std::size_t>(g)].axis)] -= taken[c];
      for (graph::AxisIndex a : classes_[c].followers) widths[static_cast<std::size_t>(a)] -= taken[c];
    }
    return widths;
  }

  std::size_t choose(const graph::Cost& before) const {
    if (options_.ratio)
      return scope() == Scope::Local ? local_share(*options_.ratio) : global_share(*options_.ratio);
    if (options_.max_parameters)
      return budget(*options_.max_parameters, "parameters",
                    [&](const graph::Widths& w) { return cost_.parameters(w); });
    if (options_.max_macs)
      return budget(*options_.max_macs, "MACs", [&](const graph::Widths& w) { return cost_.macs(w); });
    if (options_.speedup)
      return budget(
          static_cast<std::int64_t>(std::floor(static_cast<double>(before.macs) / *options_.speedup)), "MACs",
          [&](const graph::Widths& w) { return cost_.macs(w); });
    return 0;
  }

  /// Steps are sorted by share for this scope: those within the ratio form a prefix.
  std::size_t local_share(double ratio) const {
    const auto past = std::ranges::upper_bound(steps_, ratio + 1e-9, {}, &Step::key);
    return static_cast<std::size_t>(past - steps_.begin());
  }

  std::size_t global_share(double ratio) const {
    std::int64_t total = 0;
    for (const Class& c : classes_)
      if (c.takes_part() && !c.ratio) total += c.size * static_cast<std::int64_t>(c.groups.size());
    const auto wanted = static_cast<std::int64_t>(std::floor(static_cast<double>(total) * ratio + 1e-9));
    std::int64_t removed = 0;
    std::size_t steps = 0;
    for (; steps < steps_.size(); ++steps) {
      removed += steps_[steps].units * static_cast<std::int64_t>(classes_[steps_[steps].c].groups.size());
      if (removed > wanted) return steps;
    }
    if (removed < wanted) refuse("units", total - wanted, total - removed);
    return steps;
  }

  /// Shortest prefix within the limit: costs fall with every step, so bisection finds it.
  template <class F>
  std::size_t budget(std::int64_t limit, const std::string& what, F cost) const {
    if (cost(widths_after(steps_.size())) > limit) refuse(what, limit, cost(widths_after(steps_.size())));
    std::size_t low = 0, high = steps_.size();
    while (low < high) {
      const std::size_t middle = (low + high) / 2;
      cost(widths_after(middle)) <= limit ? high = middle : low = middle + 1;
    }
    return low;
  }

  [[noreturn]] void refuse(const std::string& what, std::int64_t wanted, std::int64_t least) const {
    std::int64_t frozen = 0, whole = 0;
    for (const graph::Axis& axis : d_.axes) frozen += axis.stored && axis.frozen ? 1 : 0;
    for (const Class& c : classes_) whole += c.takes_part() ? 0 : 1;
    throw UserError({.code = "E0430",
                     .exit = Exit::Unsupported,
                     .subject = "target",
                     .message = "asked for " + std::to_string(wanted) + " " + what +
                                ", but with every floor reached " + std::to_string(least) +
                                " remain: " + std::to_string(least - wanted) + " too many",
                     .where = {},
                     .why = std::to_string(frozen) + " frozen dimensions and " + std::to_string(whole) +
                            " groups kept whole by the options cannot shrink",
                     .help = "ask for less, or lower --min-width, --round-to or raise --max-ratio; frozen "
                             "axes and reasons: pollard inspect FILE --show groups"});
  }

  void write_removal(Plan& out) const {
    out.groups.resize(d_.groups.size());
    for (std::size_t c = 0; c < classes_.size(); ++c) {
      for (std::int32_t g : classes_[c].groups) {
        const auto group = static_cast<std::size_t>(g);
        std::vector<std::int64_t> removed(order_[group].begin(),
                                          order_[group].begin() + static_cast<std::ptrdiff_t>(taken_[c]));
        std::ranges::sort(removed);
        if (scores_.refine && !removed.empty()) removed = scores_.refine(group, std::move(removed));
        out.removal.removed[static_cast<std::size_t>(d_.groups[group].axis)] = removed;
        out.groups[group] = {.group = g, .removed = std::move(removed), .kept_whole = classes_[c].kept_whole};
        if (taken_[c] == 0 && classes_[c].takes_part())
          out.groups[group].kept_whole = "the target needed none of its units";
      }
      // Constant states have no units of their own to choose; they get shorter with their layer.
      for (graph::AxisIndex a : classes_[c].followers) {
        auto& removed = out.removal.removed[static_cast<std::size_t>(a)];
        removed.resize(static_cast<std::size_t>(taken_[c]));
        std::iota(removed.begin(), removed.end(), 0);
      }
    }
    warn(out);
  }

  void warn(Plan& out) const {
    for (const graph::UnknownOp& op : d_.unknown)
      out.warnings.push_back("no rule for " + op.target + " (" + std::to_string(op.ops.size()) +
                             "x): everything it touches is kept whole");
    if (out.removal.empty())
      out.warnings.push_back(d_.groups.empty() ? "nothing can be pruned: every dimension is frozen"
                                               : "nothing was removed");
  }

  const Dependencies& d_;
  const PlanOptions& options_;
  graph::CostModel cost_;
  std::vector<Class> classes_;
  Scores scores_;
  std::vector<std::vector<std::int64_t>> order_;  ///< by group
  std::vector<std::int64_t> taken_;               ///< by class
  std::vector<Step> steps_;
};

}  // namespace

std::optional<Scope> scope_from_string(std::string_view name) {
  for (Scope scope : {Scope::Local, Scope::Global, Scope::Isomorphic})
    if (to_string(scope) == name) return scope;
  return std::nullopt;
}

std::string_view to_string(Scope scope) {
  switch (scope) {
    case Scope::Local: return "local";
    case Scope::Global: return "global";
    case Scope::Isomorphic: return "isomorphic";
  }
  return "local";
}

Plan make_plan(const models::Model& model, const Dependencies& dependencies, const PlanOptions& options,
               const CalibrationSet* calibration) {
  return Selection(model, dependencies, options, calibration).plan();
}

}  // namespace pollard::pruning
