// SPDX-License-Identifier: Apache-2.0
// Which groups share a pass over the samples.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "graph/removal.h"
#include "pruning/statistics.h"

namespace pollard::pruning {
namespace {

/// Bytes that gather() will hold for a contraction's input.
double bytes_needed(const Contraction& c, const graph::Program& program, const graph::Dependencies& d,
                    bool full) {
  auto columns = static_cast<double>(graph::size_at(d, c.term, graph::full_widths(d)));
  double batch = 1;
  const graph::Op& op = program.ops[c.op];
  if (c.kind == Contraction::Kind::Convolution) {
    const graph::Value& weight = program[*op.tensor("weight")];
    for (std::size_t k = 2; full && k < weight.shape.size(); ++k)
      columns *= static_cast<double>(weight.shape[k].hint);
    batch = static_cast<double>(std::max<std::int64_t>(1, op.int_or("groups", 1)));
  }
  return 8 * batch * columns * (full ? columns : 1);
}

/// Groups of one pass and the contractions they need.
class Pass {
 public:
  Pass(const ScoreContext& context, const std::vector<Contraction>& all, const StatisticsOptions& options)
      : context_(context), all_(all), options_(options) {}

  /// False when the group must wait for the next pass.
  bool take(std::size_t group) {
    Need need = need_of(group);
    if (!groups_.empty() && bytes_ + need.moments > memory()) return false;
    add(group, std::move(need));
    return true;
  }

  /// For a pass over stored weights: a group whose moments and weights are too much by themselves is not judged.
  void take_or_refuse(std::size_t group) {
    Need need = need_of(group);
    const double bytes = need.moments + need.weights;
    const std::size_t layers = need.consumers.size();
    const bool fits = bytes <= memory();
    add(group, fits ? std::move(need) : Need{});
    if (!fits)
      groups_.back().unjudged = fmt::format(
          "{} layers read it: their weights and moments need {:.0f} MiB at once", layers, bytes / 1048576);
  }

  /// Returns the bytes of the moments.
  double run(const std::function<void(const GroupStatistics&)>& visit) {
    const auto statistics = std::make_shared<const Statistics>(
        wanted_.empty() ? Statistics{} : gather(context_, wanted_, options_));
    for (GroupStatistics& group : groups_) {
      group.statistics = statistics;
      visit(group);
    }
    return statistics->bytes;
  }

  /// Visits each group once its last consumer has run, then lets its moments go. Returns the most bytes of moments there were.
  double run_by_parts(const std::function<void(const GroupStatistics&)>& visit) {
    std::vector<bool> visited(groups_.size(), false);
    double most = 0;
    const auto part_done = [&](Statistics& so_far, std::size_t ops) {
      most = std::max(most, held_bytes(so_far));
      std::set<std::size_t> wanted;  // contractions of groups that still wait
      for (std::size_t g = 0; g < groups_.size(); ++g) {
        if (visited[g]) continue;
        const bool ready = std::ranges::all_of(
            groups_[g].consumers, [&](const Consumer& c) { return wanted_[c.observed].op < ops; });
        if (ready) {
          groups_[g].statistics = std::shared_ptr<const Statistics>(std::shared_ptr<void>(), &so_far);
          visit(groups_[g]);
          groups_[g].statistics.reset();
          visited[g] = true;
        } else {
          for (const Consumer& c : groups_[g].consumers) wanted.insert(c.observed);
        }
      }
      let_go(so_far, wanted);
    };
    if (wanted_.empty()) {
      Statistics nothing;
      part_done(nothing, context_.model.program.ops.size());
    } else {
      gather(context_, wanted_, options_, part_done);
    }
    return most;
  }

 private:
  struct Need {
    std::vector<Consumer> consumers;
    std::set<std::string> inputs;     ///< that no group of the pass has asked for
    double moments = 0, weights = 0;  ///< bytes
  };

  double memory() const { return static_cast<double>(options_.memory) * 1048576; }

  Need need_of(std::size_t group) const {
    const graph::Dependencies& d = context_.dependencies;
    Need need{.consumers = consumers_of(d, group, all_), .inputs = {}};
    for (const Consumer& c : need.consumers) {
      const Contraction& contraction = all_[c.observed];
      if (!inputs_.contains(contraction.input) && need.inputs.insert(contraction.input).second)
        need.moments += bytes_needed(contraction, context_.model.program, d, options_.full);
      const auto weight = context_.model.program.ops[contraction.op].tensor("weight");
      if (weight) need.weights += 4 * static_cast<double>(context_.model.program[*weight].numel());
    }
    return need;
  }

  void add(std::size_t group, Need need) {
    bytes_ += need.moments;
    inputs_.merge(need.inputs);
    for (Consumer& c : need.consumers) {
      const auto [found, added] = place_.try_emplace(c.observed, wanted_.size());
      if (added) wanted_.push_back(all_[c.observed]);
      c.observed = found->second;
    }
    const graph::Dependencies& d = context_.dependencies;
    const auto units = static_cast<std::size_t>(d.axes[static_cast<std::size_t>(d.groups[group].axis)].size);
    groups_.push_back({.index = group,
                       .units = units,
                       .consumers = std::move(need.consumers),
                       .statistics = nullptr,
                       .unjudged = {}});
  }

  static double held_bytes(const Statistics& statistics) {
    std::set<const InputMoments*> seen;
    double bytes = 0;
    for (const Observed& o : statistics.observed)
      if (o.input->second.defined() && seen.insert(o.input.get()).second)
        bytes += static_cast<double>(o.input->second.nbytes());
    return bytes;
  }

  static void let_go(Statistics& statistics, const std::set<std::size_t>& wanted) {
    std::set<const InputMoments*> inputs;
    for (const std::size_t k : wanted) inputs.insert(statistics.observed[k].input.get());
    for (std::size_t k = 0; k < statistics.observed.size(); ++k) {
      Observed& o = statistics.observed[k];
      if (!wanted.contains(k)) o.weight.reset();
      if (inputs.contains(o.input.get())) continue;
      o.input->sum.reset();
      o.input->second.reset();
    }
  }

  const ScoreContext& context_;
  const std::vector<Contraction>& all_;
  const StatisticsOptions& options_;
  std::vector<GroupStatistics> groups_;
  std::vector<Contraction> wanted_;
  std::map<std::size_t, std::size_t> place_;
  std::set<std::string> inputs_;
  double bytes_ = 0;
};

}  // namespace

std::vector<std::vector<double>> no_scores(const graph::Dependencies& d) {
  std::vector<std::vector<double>> out;
  for (const graph::Group& group : d.groups)
    out.emplace_back(static_cast<std::size_t>(d.axes[static_cast<std::size_t>(group.axis)].size), 0.0);
  return out;
}

std::string for_each_group(const ScoreContext& context, const StatisticsOptions& options,
                           const std::function<void(const GroupStatistics&)>& visit) {
  const std::vector<Contraction> contractions =
      find_contractions(context.model.program, context.dependencies);
  if (context.stored) {
    Pass pass(context, contractions, options);
    for (std::size_t g = 0; g < context.dependencies.groups.size(); ++g)
      if (context.wants(g)) pass.take_or_refuse(g);
    return fmt::format("{} samples part by part, {:.0f} MiB of statistics at most",
                       context.calibration->samples(), pass.run_by_parts(visit) / 1048576);
  }
  int passes = 0;
  double most = 0;
  for (std::size_t next = 0; next < context.dependencies.groups.size();) {
    Pass pass(context, contractions, options);
    while (next < context.dependencies.groups.size() && (!context.wants(next) || pass.take(next))) ++next;
    most = std::max(most, pass.run(visit));
    ++passes;
  }
  return fmt::format("{} samples in {} {}, {:.0f} MiB of statistics", context.calibration->samples(), passes,
                     passes == 1 ? "pass" : "passes", most / 1048576);
}

}  // namespace pollard::pruning
