// SPDX-License-Identifier: Apache-2.0
#include "cli/fairness_picture.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "cli/fairness_report.h"

namespace pollard::cli {
namespace {

using pruning::fairness::Outcome;

/// A finite axis of the picture.
struct Scale {
  double low = 0, high = 1, from = 0, to = 1;
  double at(double value) const {
    const double share = std::isfinite(value) ? std::clamp((value - low) / (high - low), 0.0, 1.0) : 1.0;
    return from + share * (to - from);
  }
};

Scale scale_of(const std::vector<Outcome>& outcomes, double Outcome::*value, double from, double to) {
  std::vector<double> values;
  for (const Outcome& o : outcomes)
    if (std::isfinite(o.*value)) values.push_back(o.*value);
  std::ranges::sort(values);
  Scale out{.low = values.front(), .high = values[values.size() * 9 / 10], .from = from, .to = to};
  if (!(out.high > out.low)) out.high = out.low + 1;
  return out;
}

const char* colour_of(const std::string& method) {
  static const std::map<std::string, const char*> colours{
      {"fasp", "#0072b2"},     {"performance", "#009e73"}, {"bias", "#d55e00"}, {"magnitude", "#cc79a7"},
      {"gradient", "#e69f00"}, {"random", "#999999"},      {"none", "#000000"}};
  return colours.at(method);
}

}  // namespace

std::string front_picture(const std::vector<Outcome>& outcomes, const std::string& performance_name,
                          const std::string& bias_name) {
  const Scale x = scale_of(outcomes, &Outcome::performance, 60, 620);
  const Scale y = scale_of(outcomes, &Outcome::bias, 380, 20);
  std::string out =
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 760 430\" font-family=\"sans-serif\" "
      "font-size=\"12\">\n<rect width=\"760\" height=\"430\" fill=\"white\"/>\n"
      "<path d=\"M60 20V380H620\" fill=\"none\" stroke=\"black\"/>\n";
  out += fmt::format(
      "<text x=\"60\" y=\"400\">{:.4g}</text><text x=\"620\" y=\"400\" text-anchor=\"end\">{:.4g}"
      "</text><text x=\"340\" y=\"418\" text-anchor=\"middle\">{} (lower is better)</text>\n",
      x.low, x.high, performance_name);
  out += fmt::format(
      "<text x=\"55\" y=\"380\" text-anchor=\"end\">{:.3g}</text><text x=\"55\" y=\"30\" "
      "text-anchor=\"end\">{:.3g}</text><text transform=\"translate(15 200) rotate(-90)\" "
      "text-anchor=\"middle\">{} bias (lower is better)</text>\n",
      y.low, y.high, bias_name);
  std::map<std::string, int> legend;
  for (const Outcome& o : outcomes) {
    const std::string method = method_of(o);
    legend.emplace(method, static_cast<int>(legend.size()));
    out += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{}\" fill=\"{}\" fill-opacity=\"0.6\"{}/>\n",
                       x.at(o.performance), y.at(o.bias), method == "none" ? 6 : 4, colour_of(method),
                       o.front ? " stroke=\"black\"" : "");
  }
  for (const auto& [method, line] : legend)
    out += fmt::format(
        "<circle cx=\"640\" cy=\"{0}\" r=\"4\" fill=\"{1}\"/><text x=\"650\" y=\"{2}\">{3}</text>\n",
        30 + 18 * line, colour_of(method), 34 + 18 * line, method);
  return out + "<text x=\"640\" y=\"180\">ringed: front</text>\n</svg>\n";
}

}  // namespace pollard::cli
