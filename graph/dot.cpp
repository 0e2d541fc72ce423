// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "graph/coupling_graph.h"

namespace pollard::graph {
namespace {

constexpr std::array<const char*, 12> kColours{"#4477aa", "#ee6677", "#228833", "#ccbb44",
                                               "#66ccee", "#aa3377", "#bb5566", "#004488",
                                               "#ddaa33", "#117733", "#882255", "#44aa99"};

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) >= 0x20) out += c;
  }
  return out + "\"";
}

std::string module_of(std::string_view source) {
  const auto dot = source.rfind('.');
  return std::string(dot == std::string_view::npos ? std::string_view("(top)") : source.substr(0, dot));
}

}  // namespace

std::string to_dot(const Program& program, const Dependencies& d, std::size_t limit) {
  std::size_t stored = 0;
  for (const Input& input : program.inputs) stored += input.source.empty() ? 0 : 1;
  const bool collapse = stored > limit;
  const auto node = [&](std::int32_t input) {
    const std::string& source = program.inputs[static_cast<std::size_t>(input)].source;
    return collapse ? module_of(source) : source;
  };
  std::map<std::string, std::set<std::string>> clusters;
  for (std::size_t i = 0; i < program.inputs.size(); ++i)
    if (!program.inputs[i].source.empty())
      clusters[module_of(program.inputs[i].source)].insert(node(static_cast<std::int32_t>(i)));

  std::string out = "graph pollard {\n  rankdir=LR; node [shape=box, fontname=\"sans-serif\"];\n";
  if (collapse) out += "  label=" + quoted("parameters collapsed by module") + ";\n";
  int number = 0;
  for (const auto& [module, nodes] : clusters) {
    out += "  subgraph cluster_" + std::to_string(number++) + " { label=" + quoted(module) + ";";
    for (const std::string& name : nodes) out += " " + quoted(name) + ";";
    out += " }\n";
  }
  for (std::size_t g = 0; g < d.groups.size(); ++g) {
    const Axis& axis = d.axes[static_cast<std::size_t>(d.groups[g].axis)];
    const std::string hub = quoted(d.groups[g].id);
    const std::string colour = kColours[g % kColours.size()];
    out += "  " + hub + " [shape=ellipse, color=\"" + colour +
           "\", label=" + quoted(d.groups[g].id + " " + std::to_string(axis.size)) + "];\n";
    std::set<std::string> lines;
    for (const Member& m : axis.members)
      lines.insert("  " + hub + " -- " + quoted(node(m.input)) + " [color=\"" + colour + "\"" +
                   (collapse ? "" : ", label=\"" + std::to_string(m.dim) + "\"") + "];\n");
    for (const std::string& line : lines) out += line;
  }
  int blocked = 0;
  for (const Axis& axis : d.axes) {
    if (!axis.stored || !axis.frozen || axis.members.size() < 2) continue;
    const std::string hub = quoted("frozen " + std::to_string(++blocked));
    out += "  " + hub + " [shape=ellipse, style=dashed, label=" +
           quoted(std::to_string(axis.size) + " " + std::string(to_string(axis.frozen.why))) + "];\n";
    std::set<std::string> lines;
    for (const Member& m : axis.members)
      lines.insert("  " + hub + " -- " + quoted(node(m.input)) + " [style=dashed];\n");
    for (const std::string& line : lines) out += line;
  }
  return out + "}\n";
}

}  // namespace pollard::graph
