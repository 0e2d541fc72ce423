// SPDX-License-Identifier: Apache-2.0
#include "pruning/fairness/scoreboard.h"

#include <algorithm>
#include <functional>

#include "graph/error.h"

namespace pollard::pruning::fairness {
namespace {

ProbeOptions named(const ProbeOptions& options, std::string_view name) {
  ProbeOptions out = options;
  if (!out.state.empty()) out.state += "." + std::string(name);
  out.fingerprint += " " + std::string(name);
  return out;
}

}  // namespace

Scoreboard score_units(const Knockout& knockout, const graph::Dependencies& d,
                       const PerformanceMetric& performance, const BiasMetric& bias,
                       const ProbeOptions& options) {
  Scoreboard out;
  out.sha256 = knockout.model().sha256;
  out.performance_name = performance.name();
  out.bias_name = bias.name();
  out.units = knockout.units();
  for (const Unit& u : out.units) {
    out.groups.push_back(d.groups[static_cast<std::size_t>(u.group)].id);
    out.places.push_back(place_of(knockout.model(), d, u));
  }
  const at::Tensor lost = measure(knockout, performance.probe(), named(options, performance.name()));
  const at::Tensor biased = measure(knockout, bias.probe(), named(options, bias.name()));
  out.performance_whole = performance.judge(lost[0], lost[0]);
  for (const AxisBias& axis : bias.judge(biased[0])) {
    out.axes.push_back(axis.axis);
    out.bias_whole.push_back(axis.bias);
  }
  out.bias.resize(out.axes.size());
  for (std::int64_t i = 1; i <= std::ssize(out.units); ++i) {
    out.performance.push_back(performance.judge(lost[i], lost[0]));
    const std::vector<AxisBias> axes = bias.judge(biased[i]);
    for (std::size_t a = 0; a < axes.size(); ++a) out.bias[a].push_back(axes[a].bias);
  }
  return out;
}

std::vector<double> combined_bias(const Scoreboard& board, const std::vector<double>& weights) {
  if (!weights.empty() && weights.size() != board.axes.size())
    throw UserError({.code = "E0203",
                     .exit = Exit::Usage,
                     .subject = "--axis",
                     .message = std::to_string(weights.size()) + " weights for " +
                                std::to_string(board.axes.size()) + " axes",
                     .where = {},
                     .why = {},
                     .help = {}});
  if (board.axes.size() == 1) return board.bias.front();
  std::vector<double> out(board.units.size(), 0);
  for (std::size_t a = 0; a < board.axes.size(); ++a) {
    const double scale = board.bias_whole[a] > 0 ? board.bias_whole[a] : 1;
    for (std::size_t i = 0; i < out.size(); ++i)
      out[i] += (weights.empty() ? 1 : weights[a]) * board.bias[a][i] / scale;
  }
  return out;
}

std::vector<std::int64_t> choose(const Scoreboard& board, const Choice& choice) {
  switch (choice.method) {
    case Method::Fasp:
      if (choice.pareto) return select_pareto(board.performance, board.bias, choice.alpha, choice.gamma);
      return select_fasp(board.performance, combined_bias(board, choice.axis_weights), choice.alpha,
                         choice.gamma);
    case Method::Performance: return select_smallest(board.performance, choice.alpha);
    case Method::Bias: return select_smallest(combined_bias(board, choice.axis_weights), choice.alpha);
    case Method::Random: return select_random(std::ssize(board.units), choice.alpha, choice.seed);
    case Method::Magnitude:
    case Method::Gradient: break;
  }
  const auto found = board.baselines.find(std::string(to_string(choice.method)));
  if (found != board.baselines.end()) return select_smallest(found->second, choice.alpha);
  throw UserError({.code = "E0203",
                   .exit = Exit::Usage,
                   .subject = "--method " + std::string(to_string(choice.method)),
                   .message = "the scores have no such numbers",
                   .where = {},
                   .why = {},
                   .help = "score again with --baselines"});
}

Standing stand(const models::Model& model, const PerformanceMetric& performance, const BiasMetric& bias,
               const at::Tensor& whole_numbers) {
  Standing out;
  out.performance_numbers = measure(model, performance.probe());
  out.performance = performance.judge(out.performance_numbers,
                                      whole_numbers.defined() ? whole_numbers : out.performance_numbers);
  out.bias = bias.judge(measure(model, bias.probe()));
  return out;
}

std::vector<bool> pareto_front(const std::vector<std::vector<double>>& points) {
  const auto beats = [](const std::vector<double>& a, const std::vector<double>& b) {
    return std::ranges::equal(a, b, std::less_equal<>()) && a != b;
  };
  std::vector<bool> out;
  for (const auto& point : points)
    out.push_back(
        std::ranges::none_of(points, [&](const std::vector<double>& other) { return beats(other, point); }));
  return out;
}

}  // namespace pollard::pruning::fairness
