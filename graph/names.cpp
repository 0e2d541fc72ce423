// SPDX-License-Identifier: Apache-2.0
// Dimensions by name, as people write them.
#include <algorithm>
#include <charconv>

#include "graph/coupling_graph.h"
#include "graph/error.h"

namespace pollard::graph {
namespace {

/// Names that contain the last component of what was asked for.
std::string near_names(const Program& program, std::string_view wanted) {
  const std::string_view tail =
      wanted.substr(wanted.rfind('.') == std::string_view::npos ? 0 : wanted.rfind('.') + 1);
  std::string out;
  int shown = 0;
  for (const Input& input : program.inputs)
    if (!input.source.empty() && shown < 3 && input.source.find(tail) != std::string::npos) {
      out += (shown++ ? ", " : "") + input.source;
    }
  return out.empty() ? "list the names with: pollard inspect FILE --show tensors" : "near: " + out;
}

[[noreturn]] void unknown(const Program& program, std::string_view name, const std::string& message) {
  throw UserError({.code = "E0203",
                   .exit = Exit::Usage,
                   .subject = std::string(name),
                   .message = message,
                   .where = {},
                   .why = {},
                   .help = near_names(program, name)});
}

}  // namespace

DimRef find_dim(const Program& program, std::string_view text) {
  std::string_view name = text;
  std::int32_t dim = 0;
  if (const auto colon = text.rfind(':'); colon != std::string_view::npos) {
    const std::string_view digits = text.substr(colon + 1);
    if (std::from_chars(digits.data(), digits.data() + digits.size(), dim).ec == std::errc())
      name = text.substr(0, colon);
  }
  ValueId id;
  if (const Input* input = program.find_input(name)) id = input->value;
  if (name.starts_with('%')) name.remove_prefix(1);
  for (std::size_t v = 0; id.index < 0 && v < program.values.size(); ++v)
    if (program.values[v].name == name) id = {static_cast<std::int32_t>(v)};
  if (id.index < 0) unknown(program, name, "no parameter or value has this name");
  if (dim < 0 || static_cast<std::size_t>(dim) >= program[id].shape.size())
    unknown(program, name,
            "has " + std::to_string(program[id].shape.size()) + " dimensions, not one numbered " +
                std::to_string(dim));
  return {id, dim};
}

std::string name_of(const Program& program, DimRef dim) {
  for (const Input& input : program.inputs)
    if (!input.constant && input.value == dim.value && !input.source.empty())
      return input.source + ":" + std::to_string(dim.dim);
  return "%" + program[dim.value].name + ":" + std::to_string(dim.dim);
}

}  // namespace pollard::graph
