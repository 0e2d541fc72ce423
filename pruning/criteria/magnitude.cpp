// SPDX-License-Identifier: Apache-2.0
#include "pruning/criteria/magnitude.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "graph/removal.h"
#include "kernels/slab_sums.h"

namespace pollard::pruning {
namespace {

constexpr std::array<std::string_view, 5> kReduce{"mean", "sum", "max", "prod", "first"};
constexpr std::array<std::string_view, 6> kNormalize{"none", "sum", "mean", "max", "gaussian", "lamp"};

/// Sums of |w|^p by flat index, for every dimension of a parameter that some group mentions.
using DimSums = std::map<std::int64_t, std::vector<double>>;

std::map<std::int32_t, DimSums> read_parameters(const ScoreContext& context, double p) {
  const graph::Dependencies& d = context.dependencies;
  std::map<std::int32_t, std::set<std::int64_t>> wanted;
  for (const graph::Group& group : d.groups)
    for (const graph::Member& m : d.axes[static_cast<std::size_t>(group.axis)].members)
      if (context.model.program.inputs[static_cast<std::size_t>(m.input)].kind ==
          graph::Input::Kind::Parameter)
        wanted[m.input].insert(m.dim);
  std::map<std::int32_t, DimSums> out;
  for (const auto& [input, dims] : wanted) {
    const std::vector<std::int64_t> list(dims.begin(), dims.end());
    const at::Tensor& weight =
        context.model.weights.at(context.model.program.inputs[static_cast<std::size_t>(input)].source);
    auto sums = kernels::slab_power_sums(weight, list, p);
    for (std::size_t k = 0; k < list.size(); ++k) out[input][list[k]] = std::move(sums[k]);
  }
  return out;
}

std::vector<double> slab_of(const graph::Dependencies& d, graph::TermId term, const graph::Group& group,
                            const std::vector<double>& sums) {
  const graph::Axis& axis = d.axes[static_cast<std::size_t>(group.axis)];
  if (d.terms.find(term) == d.terms.find(axis.term)) return sums;
  std::vector<double> out(static_cast<std::size_t>(axis.size), 0.0);
  const std::vector<std::int64_t> unit = graph::unit_of_index(d, term, group.axis);
  for (std::size_t i = 0; i < unit.size(); ++i)
    if (unit[i] >= 0) out[static_cast<std::size_t>(unit[i])] += sums[i];
  return out;
}

}  // namespace

std::vector<double> reduce_slabs(const std::vector<std::vector<double>>& slabs, Reduce how) {
  std::vector<double> out = slabs.empty() ? std::vector<double>{} : slabs.front();
  if (how == Reduce::First) return out;
  for (std::size_t k = 1; k < slabs.size(); ++k)
    for (std::size_t i = 0; i < out.size(); ++i) {
      if (how == Reduce::Max)
        out[i] = std::max(out[i], slabs[k][i]);
      else if (how == Reduce::Prod)
        out[i] *= slabs[k][i];
      else
        out[i] += slabs[k][i];
    }
  if (how == Reduce::Mean)
    for (double& x : out) x /= static_cast<double>(slabs.size());
  return out;
}

void normalize(std::vector<double>& scores, Normalize how) {
  if (scores.empty() || how == Normalize::None) return;
  const auto n = static_cast<double>(scores.size());
  const double sum = std::accumulate(scores.begin(), scores.end(), 0.0), mean = sum / n;
  if (how == Normalize::Lamp) {
    std::vector<std::size_t> order(scores.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::stable_sort(order, {}, [&](std::size_t i) { return scores[i]; });
    double rest = 0;
    for (auto it = order.rbegin(); it != order.rend(); ++it) {
      rest += scores[*it];
      scores[*it] = rest > 0 ? scores[*it] / rest : 0;
    }
    return;
  }
  double spread = 0;
  for (double x : scores) spread += (x - mean) * (x - mean);
  spread = std::sqrt(spread / std::max(1.0, n - 1));
  const double scale = how == Normalize::Sum    ? sum
                       : how == Normalize::Mean ? mean
                       : how == Normalize::Max  ? *std::ranges::max_element(scores)
                                                : spread;
  const double shift = how == Normalize::Gaussian ? mean : 0;
  for (double& x : scores) x = scale > 0 ? (x - shift) / scale : 0;
}

std::string Magnitude::name() const {
  const double whole = std::round(p);
  const std::string power = whole == p ? std::to_string(static_cast<int>(p)) : std::to_string(p);
  return "magnitude:p=" + power + ",reduce=" + std::string(kReduce[static_cast<std::size_t>(reduce)]) +
         ",normalize=" + std::string(kNormalize[static_cast<std::size_t>(normalize)]);
}

Scores Magnitude::score(const ScoreContext& context) const {
  const graph::Dependencies& d = context.dependencies;
  const std::map<std::int32_t, DimSums> sums = read_parameters(context, p);
  Scores scores;
  for (const graph::Group& group : d.groups) {
    const graph::Axis& axis = d.axes[static_cast<std::size_t>(group.axis)];
    std::vector<std::vector<double>> slabs;
    for (const graph::Member& m : axis.members) {
      const auto found = sums.find(m.input);
      if (found == sums.end()) continue;
      const graph::ValueId value = context.model.program.inputs[static_cast<std::size_t>(m.input)].value;
      slabs.push_back(
          slab_of(d, d[value].dims[static_cast<std::size_t>(m.dim)], group, found->second.at(m.dim)));
    }
    std::vector<double> out = reduce_slabs(slabs, reduce);
    out.resize(static_cast<std::size_t>(axis.size), 0.0);  // a group of buffers alone weighs nothing
    pruning::normalize(out, normalize);
    scores.by_group.push_back(std::move(out));
  }
  scores.comparable = normalize != Normalize::None;
  return scores;
}

}  // namespace pollard::pruning
