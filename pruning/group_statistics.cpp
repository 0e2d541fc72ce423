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
    const graph::Dependencies& d = context_.dependencies;
    std::vector<Consumer> consumers = consumers_of(d, group, all_);
    double more = 0;
    std::set<std::string> fresh;
    for (const Consumer& c : consumers) {
      const Contraction& contraction = all_[c.observed];
      if (!inputs_.contains(contraction.input) && fresh.insert(contraction.input).second)
        more += bytes_needed(contraction, context_.model.program, d, options_.full);
    }
    if (!groups_.empty() && bytes_ + more > static_cast<double>(options_.memory) * 1048576) return false;
    bytes_ += more;
    inputs_.merge(fresh);
    for (Consumer& c : consumers) {
      const auto [found, added] = place_.try_emplace(c.observed, wanted_.size());
      if (added) wanted_.push_back(all_[c.observed]);
      c.observed = found->second;
    }
    const auto units = static_cast<std::size_t>(d.axes[static_cast<std::size_t>(d.groups[group].axis)].size);
    groups_.push_back(
        {.index = group, .units = units, .consumers = std::move(consumers), .statistics = nullptr});
    return true;
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

 private:
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
