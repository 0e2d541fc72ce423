// SPDX-License-Identifier: Apache-2.0
// From scores to a plan. Ranked scopes put units in one order of removal, and the target picks a prefix of it; the
// others give every class an error curve, and the allocator picks a point on each.
#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "graph/error.h"
#include "pruning/allocate.h"
#include "pruning/limits.h"
#include "pruning/plan.h"
#include "pruning/sensitivity.h"

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
            const CalibrationSet* calibration, StoredWeights* stored)
      : model_(model),
        d_(d),
        options_(options),
        calibration_(calibration),
        cost_(model.program, d),
        table_(options.has_latency() || options.round_measured ? options.latency_table : ""),
        classes_(chosen_classes()),
        order_(model, d, options, {.calibration = calibration, .stored = stored}, classes_) {
    taken_.assign(classes_.size(), 0);
    for (std::size_t c = 0; c < classes_.size(); ++c)
      if (classes_[c].takes_part() && classes_[c].ratio) taken_[c] = share(classes_[c], *classes_[c].ratio);
  }

  Plan plan() {
    Plan out{.options = options_,
             .removal = graph::Removal(d_),
             .groups = {},
             .before = {},
             .after = {},
             .latency = {},
             .warnings = {},
             .notes = order_.notes()};
    out.notes.insert(out.notes.end(), notes_.begin(), notes_.end());
    out.before = cost_.evaluate(graph::full_widths(d_));
    if (options_.has_latency()) time_ops(out);
    limits_ = limits_of(options_, cost_, out.before, latency_ ? &*latency_ : nullptr);
    if (scope() == Scope::Predicted || scope() == Scope::Measured)
      choose_by_error();
    else
      choose_by_rank();
    write_removal(out);
    out.after = cost_.evaluate(out.removal.widths(d_));
    if (latency_)
      out.latency = {.dense = latency_->dense(),
                     .most = most_seconds(options_, *latency_),
                     .pruned = latency_->seconds(out.removal.widths(d_))};
    return out;
  }

 private:
  /// With --round-to auto, classes step in multiples that run fast on this machine.
  std::vector<Class> chosen_classes() {
    std::vector<Class> classes = classes_of(model_, d_, options_);
    if (!options_.round_measured) return classes;
    OpTimer timer(model_, d_, table_);
    const std::vector<std::int64_t> multiples = measured_multiples(model_, d_, classes, timer);
    table_.save();
    std::map<std::int64_t, int> count;
    for (std::size_t c = 0; c < classes.size(); ++c) {
      if (!classes[c].takes_part()) continue;
      set_limits(classes[c], options_, multiples[c]);
      ++count[multiples[c]];
    }
    std::string text = "widths in multiples that run fast here:";
    for (const auto& [multiple, times] : count)
      text += " " + std::to_string(multiple) + " (" + std::to_string(times) + "x)";
    notes_.push_back(text);
    return classes;
  }

  void time_ops(Plan& out) {
    OpTimer timer(model_, d_, table_);
    latency_.emplace(model_, d_, classes_, timer);
    table_.save();
    out.notes.push_back("ops timed in " + std::to_string(timer.measured()) + " networks, " +
                        std::to_string(table_.size()) + " times known of " + LatencyTable::machine());
  }

  Scope scope() const { return effective_scope(options_); }
  bool free_class(std::size_t c) const { return classes_[c].takes_part() && !classes_[c].ratio; }

  /// How many units a share of a class is, in whole steps.
  std::int64_t share(const Class& c, double ratio) const {
    return whole_steps(c, std::min(c.removable, static_cast<std::int64_t>(
                                                    std::floor(static_cast<double>(c.size) * ratio + 1e-9))));
  }

  void choose_by_rank() {
    order_steps();
    const std::size_t steps = choose();
    for (std::size_t s = 0; s < steps; ++s) taken_[steps_[s].c] += steps_[s].units;
  }

  void choose_by_error() {
    std::vector<std::size_t> free;
    for (std::size_t c = 0; c < classes_.size(); ++c)
      if (free_class(c)) free.push_back(c);
    if (options_.ratio) limits_.push_back(units_limit(*options_.ratio));
    if (limits_.empty()) return;
    const std::vector<ErrorCurve> curves =
        scope() == Scope::Measured ? measured_curves(free) : predicted_curves(free);
    std::vector<std::int64_t> taken = taken_;
    const auto points = allocate(curves, [&](const std::vector<std::size_t>& at) {
      for (std::size_t i = 0; i < free.size(); ++i) taken[free[i]] = units_at(classes_[free[i]], at[i]);
      return excess(limits_, widths_with(taken));
    });
    if (!points) refuse_all();
    for (std::size_t i = 0; i < free.size(); ++i) taken_[free[i]] = units_at(classes_[free[i]], (*points)[i]);
  }

  /// Units a class has lost after `steps` of its steps.
  static std::int64_t units_at(const Class& c, std::size_t steps) {
    return steps == 0 ? 0 : c.first_step + static_cast<std::int64_t>(steps - 1) * c.step;
  }
  static std::size_t steps_of(const Class& c) {
    return static_cast<std::size_t>(1 + (c.removable - c.first_step) / c.step);
  }

  /// A ratio as a budget: at most this many of the free units stay.
  Limit units_limit(double ratio) const {
    const auto count = [this](const graph::Widths& widths) {
      double sum = 0;
      for (std::size_t c = 0; c < classes_.size(); ++c)
        if (free_class(c))
          for (std::int32_t g : classes_[c].groups)
            sum += static_cast<double>(
                widths[static_cast<std::size_t>(d_.groups[static_cast<std::size_t>(g)].axis)]);
      return sum;
    };
    return {.what = "units",
            .most = std::ceil(count(graph::full_widths(d_)) * (1 - ratio) - 1e-9),
            .cost = count};
  }

  /// From scores that add up to errors.
  std::vector<ErrorCurve> predicted_curves(const std::vector<std::size_t>& free) const {
    if (!order_.additive())
      throw UserError({.code = "E0211",
                       .exit = Exit::Usage,
                       .subject = "--scope predicted",
                       .message = "the scores of " + options_.criterion + " are no errors that add up",
                       .where = {},
                       .why = {},
                       .help = "take --criterion least-squares, or --scope measured"});
    std::vector<ErrorCurve> curves;
    for (std::size_t c : free) {
      ErrorCurve curve{0.0};
      std::int64_t done = 0;
      for (std::size_t step = 1; step <= steps_of(classes_[c]); ++step) {
        double sum = 0;
        for (; done < units_at(classes_[c], step); ++done)
          sum += std::max(0.0, order_.unit_score(classes_[c], done));
        curve.push_back(curve.back() + sum * static_cast<double>(classes_[c].groups.size()));
      }
      curves.push_back(std::move(curve));
    }
    return curves;
  }

  /// From runs with each class pruned and its layers refitted, linear between the measured points.
  std::vector<ErrorCurve> measured_curves(const std::vector<std::size_t>& free) const {
    require_samples(calibration_, "--scope measured");
    SensitivityOptions options;
    options.sliced = false;
    const auto points = measure_sensitivity(model_, d_, classes_, order_, *calibration_, options);
    std::vector<ErrorCurve> curves;
    for (std::size_t c : free) {
      ErrorCurve curve{0.0};
      double from = 0, units = 0, level = 0;
      for (const SensitivityPoint& point : points[c]) {
        const double next = std::max(level, point.repaired), to = static_cast<double>(point.removed);
        while (curve.size() <= steps_of(classes_[c])) {
          units = static_cast<double>(units_at(classes_[c], curve.size()));
          if (units > to) break;
          curve.push_back(level + (next - level) * (units - from) / (to - from));
        }
        from = to;
        level = next;
      }
      curves.push_back(std::move(curve));
    }
    return curves;
  }

  void order_steps() {
    for (std::size_t c = 0; c < classes_.size(); ++c) {
      if (!free_class(c)) continue;
      double before = -INFINITY;
      for (std::int64_t at = 0; at < classes_[c].removable;) {
        const std::int64_t units = at == 0 ? classes_[c].first_step : classes_[c].step;
        double score = 0;
        for (std::int64_t k = at; k < at + units; ++k) score += order_.unit_score(classes_[c], k);
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
      for (std::int64_t k = 0; k < steps_[s].units; ++k) sum += order_.unit_score(c, done[steps_[s].c]++);
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

  graph::Widths widths_with(const std::vector<std::int64_t>& taken) const {
    graph::Widths widths = graph::full_widths(d_);
    for (std::size_t c = 0; c < classes_.size(); ++c) {
      for (std::int32_t g : classes_[c].groups)
        widths[static_cast<std::size_t>(d_.groups[static_cast<std::size_t>(g)].axis)] -= taken[c];
      for (graph::AxisIndex a : classes_[c].followers) widths[static_cast<std::size_t>(a)] -= taken[c];
    }
    return widths;
  }

  graph::Widths widths_after(std::size_t steps) const {
    std::vector<std::int64_t> taken = taken_;
    for (std::size_t s = 0; s < steps; ++s) taken[steps_[s].c] += steps_[s].units;
    return widths_with(taken);
  }

  std::size_t choose() const {
    if (options_.ratio)
      return scope() == Scope::Local ? local_share(*options_.ratio) : global_share(*options_.ratio);
    return limits_.empty() ? 0 : budget();
  }

  /// Steps are sorted by share for this scope: those within the ratio form a prefix.
  std::size_t local_share(double ratio) const {
    const auto past = std::ranges::upper_bound(steps_, ratio + 1e-9, {}, &Step::key);
    return static_cast<std::size_t>(past - steps_.begin());
  }

  std::size_t global_share(double ratio) const {
    std::int64_t total = 0;
    for (std::size_t c = 0; c < classes_.size(); ++c)
      if (free_class(c)) total += classes_[c].size * static_cast<std::int64_t>(classes_[c].groups.size());
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

  /// Shortest prefix within all limits: costs fall with every step, so bisection finds it.
  std::size_t budget() const {
    if (excess(limits_, widths_after(steps_.size())) > 0) refuse_all();
    std::size_t low = 0, high = steps_.size();
    while (low < high) {
      const std::size_t middle = (low + high) / 2;
      excess(limits_, widths_after(middle)) <= 0 ? high = middle : low = middle + 1;
    }
    return low;
  }

  /// Names the first limit that stays exceeded with every floor reached.
  [[noreturn]] void refuse_all() const {
    std::vector<std::int64_t> taken = taken_;
    for (std::size_t c = 0; c < classes_.size(); ++c)
      if (free_class(c)) taken[c] = classes_[c].removable;
    const graph::Widths widths = widths_with(taken);
    for (const Limit& limit : limits_)
      if (const double least = limit.cost(widths); least > limit.most)
        refuse(limit.what, std::llround(limit.most), std::llround(least));
    POLLARD_CHECK(false, "a target was refused that every floor meets");
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
      graph::Removal removal = removal_of(d_, classes_[c], order_, taken_[c]);
      for (std::size_t a = 0; a < removal.removed.size(); ++a)
        if (!removal.removed[a].empty()) out.removal.removed[a] = std::move(removal.removed[a]);
      for (std::int32_t g : classes_[c].groups) {
        const auto group = static_cast<std::size_t>(g);
        out.groups[group] = {.group = g,
                             .removed = out.removal.removed[static_cast<std::size_t>(d_.groups[group].axis)],
                             .kept_whole = classes_[c].kept_whole};
        if (taken_[c] == 0 && classes_[c].takes_part())
          out.groups[group].kept_whole = "the target needed none of its units";
      }
    }
    warn(out);
  }

  void warn(Plan& out) const {
    for (const graph::UnknownOp& op : d_.unknown)
      out.warnings.push_back("no rule for " + op.target + " (" + std::to_string(op.ops.size()) +
                             "x): everything it touches is kept whole");
    const auto passed_over = std::ranges::count_if(
        classes_, [](const Class& c) { return c.kept_whole.starts_with("no narrower multiple"); });
    if (passed_over > 0)
      out.warnings.push_back(std::to_string(passed_over) + " groups stay whole, no multiple of " +
                             std::to_string(options_.round_to) + " is narrower: lower --round-to, or auto");
    if (out.removal.empty())
      out.warnings.push_back(d_.groups.empty() ? "nothing can be pruned: every dimension is frozen"
                                               : "nothing was removed");
  }

  const models::Model& model_;
  const Dependencies& d_;
  const PlanOptions& options_;
  const CalibrationSet* calibration_;
  graph::CostModel cost_;
  LatencyTable table_;
  std::optional<LatencyModel> latency_;
  std::vector<std::string> notes_;
  std::vector<Class> classes_;
  UnitOrder order_;
  std::vector<Limit> limits_;
  std::vector<std::int64_t> taken_;  ///< by class
  std::vector<Step> steps_;
};

}  // namespace

std::optional<Scope> scope_from_string(std::string_view name) {
  for (Scope scope : {Scope::Local, Scope::Global, Scope::Isomorphic, Scope::Predicted, Scope::Measured})
    if (to_string(scope) == name) return scope;
  return std::nullopt;
}

std::string_view to_string(Scope scope) {
  switch (scope) {
    case Scope::Local: return "local";
    case Scope::Global: return "global";
    case Scope::Isomorphic: return "isomorphic";
    case Scope::Predicted: return "predicted";
    case Scope::Measured: return "measured";
  }
  return "local";
}

double Forecast::over() const {
  if (measured_dense <= 0) return 0;
  const double part = measured_pruned * dense / measured_dense / most - 1;
  return part > 0.03 ? part : 0;
}

Scope effective_scope(const PlanOptions& options) {
  return options.scope.value_or(options.ratio ? Scope::Local : Scope::Global);
}

Plan make_plan(const models::Model& model, const Dependencies& dependencies, const PlanOptions& options,
               const CalibrationSet* calibration, StoredWeights* stored) {
  return Selection(model, dependencies, options, calibration, stored).plan();
}

}  // namespace pollard::pruning
