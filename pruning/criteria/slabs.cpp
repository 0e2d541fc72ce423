// SPDX-License-Identifier: Apache-2.0
#include "pruning/criteria/slabs.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "graph/removal.h"
#include "pruning/criteria/options.h"

namespace pollard::pruning {
namespace {

constexpr std::array<std::pair<std::string_view, Reduce>, 5> kReduce{{{"mean", Reduce::Mean},
                                                                      {"sum", Reduce::Sum},
                                                                      {"max", Reduce::Max},
                                                                      {"prod", Reduce::Prod},
                                                                      {"first", Reduce::First}}};
constexpr std::array<std::pair<std::string_view, Normalize>, 6> kNormalize{{{"none", Normalize::None},
                                                                            {"sum", Normalize::Sum},
                                                                            {"mean", Normalize::Mean},
                                                                            {"max", Normalize::Max},
                                                                            {"gaussian", Normalize::Gaussian},
                                                                            {"lamp", Normalize::Lamp}}};

/// A parameter's numbers, by dimension.
using DimSums = std::map<std::int64_t, std::vector<double>>;

std::map<std::int32_t, DimSums> read_parameters(const ScoreContext& context, const SlabSums& sums_of) {
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
    auto sums = sums_of(context.model.program.inputs[static_cast<std::size_t>(input)], list);
    for (std::size_t k = 0; k < sums.size(); ++k) out[input][list[k]] = std::move(sums[k]);
  }
  return out;
}

/// What each unit has in one dimension: numbers of all indices that it covers, summed, without the sign.
std::vector<double> slab_of(const graph::Dependencies& d, graph::TermId term, const graph::Group& group,
                            const std::vector<double>& sums) {
  const graph::Axis& axis = d.axes[static_cast<std::size_t>(group.axis)];
  std::vector<double> out(static_cast<std::size_t>(axis.size), 0.0);
  if (d.terms.find(term) == d.terms.find(axis.term)) {
    out = sums;
  } else {
    const std::vector<std::int64_t> unit = graph::unit_of_index(d, term, group.axis);
    for (std::size_t i = 0; i < unit.size(); ++i)
      if (unit[i] >= 0) out[static_cast<std::size_t>(unit[i])] += sums[i];
  }
  for (double& x : out) x = std::abs(x);
  return out;
}

}  // namespace

Combine Combine::from(CriterionOptions& options, Combine defaults) {
  return {.reduce = options.pick<Reduce>("reduce", kReduce, defaults.reduce),
          .normalize = options.pick<Normalize>("normalize", kNormalize, defaults.normalize)};
}

std::string Combine::reduce_text() const {
  return std::string(kReduce[static_cast<std::size_t>(reduce)].first);
}

std::string Combine::text() const {
  return "reduce=" + reduce_text() +
         ",normalize=" + std::string(kNormalize[static_cast<std::size_t>(normalize)].first);
}

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

Scores score_slabs(const ScoreContext& context, const Combine& combine, const SlabSums& sums_of,
                   const std::string& why_not) {
  const graph::Dependencies& d = context.dependencies;
  const std::map<std::int32_t, DimSums> sums = read_parameters(context, sums_of);
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
    if (!why_not.empty()) scores.unjudged.push_back(slabs.empty() ? why_not : "");
    std::vector<double> out = reduce_slabs(slabs, combine.reduce);
    out.resize(static_cast<std::size_t>(axis.size), 0.0);  // a group of buffers alone weighs nothing
    normalize(out, combine.normalize);
    scores.by_group.push_back(std::move(out));
  }
  scores.comparable = combine.normalize != Normalize::None;
  return scores;
}

std::set<graph::ValueId> biases_of(const graph::Program& program) {
  std::set<graph::ValueId> added, other;
  for (const graph::Op& op : program.ops) {
    const std::string_view name = op.base_name();
    for (const graph::NamedArg& named : op.args) {
      const bool adds = named.name == "bias" || named.name == "b_ih" || named.name == "b_hh" ||
                        (named.name == "self" && (name == "addmm" || name == "baddbmm"));
      const bool layers = named.name == "params";  // of recurrent layers: their vectors are biases
      for (graph::ValueId id : graph::values_in(named.arg))
        (adds || (layers && program[id].shape.size() == 1) ? added : other).insert(id);
    }
  }
  for (graph::ValueId id : other) added.erase(id);
  return added;
}

std::vector<double> sums_along(const at::Tensor& values, std::int64_t dim) {
  std::vector<std::int64_t> rest;
  for (std::int64_t k = 0; k < values.dim(); ++k)
    if (k != dim) rest.push_back(k);
  at::Tensor sums = values.detach().to(at::kDouble);
  if (!rest.empty()) sums = sums.sum(rest);
  sums = sums.contiguous();
  return {sums.const_data_ptr<double>(), sums.const_data_ptr<double>() + sums.numel()};
}

std::vector<std::vector<std::int64_t>> indices_of_units(const graph::Dependencies& d, graph::TermId term,
                                                        graph::AxisIndex axis) {
  std::vector<std::vector<std::int64_t>> out(
      static_cast<std::size_t>(d.axes[static_cast<std::size_t>(axis)].size));
  const std::vector<std::int64_t> unit = graph::unit_of_index(d, term, axis);
  for (std::size_t i = 0; i < unit.size(); ++i)
    if (unit[i] >= 0) out[static_cast<std::size_t>(unit[i])].push_back(static_cast<std::int64_t>(i));
  return out;
}

}  // namespace pollard::pruning
