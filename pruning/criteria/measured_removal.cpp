// SPDX-License-Identifier: Apache-2.0
#include "pruning/criteria/measured_removal.h"

#include <fmt/format.h>

#include "graph/error.h"
#include "pruning/criteria/options.h"
#include "pruning/fairness/selection.h"

namespace pollard::pruning {
namespace {

using fairness::Method;

std::string read_method(CriterionOptions& options) {
  std::vector<std::pair<std::string_view, Method>> known;
  for (const Method method : fairness::all_methods()) known.emplace_back(fairness::to_string(method), method);
  return std::string(fairness::to_string(
      options.pick("method", std::span<const std::pair<std::string_view, Method>>(known), Method::Fasp)));
}

}  // namespace

MeasuredRemoval::MeasuredRemoval(CriterionOptions& options)
    : method_(read_method(options)),
      gamma_(method_ == fairness::to_string(Method::Fasp) ? options.number("gamma", 0.3) : 0) {}

std::string MeasuredRemoval::text(std::string_view method, double gamma) {
  const std::string out = fmt::format("{}:method={}", kName, method);
  return method == fairness::to_string(Method::Fasp) ? fmt::format("{},gamma={}", out, gamma) : out;
}

Scores MeasuredRemoval::score(const ScoreContext&) const {
  throw UserError({.code = "E0210",
                   .exit = Exit::Usage,
                   .subject = "--criterion " + name(),
                   .message = "ranks by measurements that this command does not make",
                   .where = {},
                   .why = {},
                   .help = "pollard fairness plan MODEL -o plan.json, then prune with --plan plan.json"});
}

}  // namespace pollard::pruning
