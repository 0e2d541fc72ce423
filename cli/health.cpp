// SPDX-License-Identifier: Apache-2.0
#include "cli/health.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "cli/ui/format.h"
#include "cli/ui/text.h"
#include "models/io/cancel.h"
#include "models/io/numerics.h"

namespace pollard::cli {
namespace {

constexpr std::size_t names_shown = 3;

// A convolution's or linear layer's rows; vectors are left out, zero biases are ordinary.
std::int64_t count_zero_rows(const at::Tensor& tensor) {
  if (tensor.dim() < 2 || tensor.numel() == 0) return 0;
  return tensor.flatten(1).ne(0).any(1).logical_not().sum().item<std::int64_t>();
}

std::string short_list(const std::vector<std::string>& names) {
  std::vector<std::string> shown(
      names.begin(), names.begin() + static_cast<std::ptrdiff_t>(std::min(names_shown, names.size())));
  const std::string rest =
      names.size() > names_shown ? fmt::format(" and {} more", names.size() - names_shown) : "";
  return printable(join(shown, ", ")) + rest;
}

// A weight or buffer of the file, under the first of its names.
bool stored_here(const graph::Input& input) {
  return input.kind != graph::Input::Kind::User && !input.constant && input.tied_to.empty();
}

template <class Field>
std::int64_t sum(const std::vector<Health::Tensor>& tensors, Field field) {
  std::int64_t total = 0;
  for (const Health::Tensor& tensor : tensors) total += field(tensor);
  return total;
}

}  // namespace

std::int64_t Health::nonfinite() const {
  return sum(tensors, [](const Tensor& t) { return t.nan + t.infinite; });
}
std::int64_t Health::zero_rows() const {
  return sum(tensors, [](const Tensor& t) { return t.zero_rows; });
}

Health check_health(const models::Model& model, const graph::Dependencies& dependencies) {
  Health health;
  for (const graph::Input& input : model.program.inputs) {
    const auto found = model.weights.find(input.source);
    if (!stored_here(input) || found == model.weights.end() || !found->second.is_floating_point()) continue;
    if (found->second.is_meta()) {
      health.weightless = true;
      continue;
    }
    models::io::throw_if_cancelled();
    const models::io::NonFinite bad = models::io::count_nonfinite(found->second);
    health.tensors.push_back({.name = input.source,
                              .elements = found->second.numel(),
                              .nan = bad.nan,
                              .infinite = bad.infinite,
                              .zero_rows = count_zero_rows(found->second)});
  }
  for (const graph::UnknownOp& op : dependencies.unknown)
    health.unknown_ops.push_back(fmt::format("{} ({}x)", op.target, op.ops.size()));
  for (const std::int32_t index : dependencies.unused_inputs) {
    const graph::Input& input = model.program.inputs[static_cast<std::size_t>(index)];
    // Batch norm's counters are never read in evaluation; only weights are worth a word.
    if (input.kind == graph::Input::Kind::Parameter) health.unused.push_back(input.source);
  }
  return health;
}

void require_finite(const models::Model& model) {
  for (const graph::Input& input : model.program.inputs) {
    const auto found = model.weights.find(input.source);
    if (!stored_here(input) || found == model.weights.end() || !found->second.is_floating_point()) continue;
    models::io::throw_if_cancelled();
    // An infinite buffer is a mask; a NaN is a mistake anywhere.
    if (input.kind == graph::Input::Kind::Parameter || models::io::count_nonfinite(found->second).nan > 0)
      models::io::check_numerics(input.source, found->second);
  }
}

std::vector<std::string> health_lines(const Health& health) {
  std::string values = health.nonfinite() == 0
                           ? "finite"
                           : fmt::format("{} NaN or infinite", format_count(health.nonfinite()));
  if (health.zero_rows() > 0)
    values += fmt::format("; {} rows of weights are all zero", format_count(health.zero_rows()));
  std::vector<std::string> lines{"values   " + (health.weightless ? "none: built without weights" : values)};
  if (!health.unknown_ops.empty())
    lines.push_back("unknown  kept whole around " + short_list(health.unknown_ops));
  if (!health.unused.empty()) lines.push_back("unused   " + short_list(health.unused));
  return lines;
}

Table values_table(const Health& health) {
  Table table({{"tensor", false, Column::Cut::Middle},
               {"elements", true},
               {"NaN", true},
               {"infinite", true},
               {"zero rows", true}});
  for (const Health::Tensor& t : health.tensors)
    if (t.nan + t.infinite + t.zero_rows > 0)
      table.add({t.name, count_cell(t.elements), count_cell(t.nan), count_cell(t.infinite),
                 count_cell(t.zero_rows)});
  return table;
}

Json to_json(const Health& health) {
  Json bad = Json::array();
  for (const Health::Tensor& t : health.tensors)
    if (t.nan + t.infinite > 0) bad.push_back({{"name", t.name}, {"nan", t.nan}, {"infinite", t.infinite}});
  return {{"nonfinite", bad},
          {"zero_rows", health.zero_rows()},
          {"unknown_ops", health.unknown_ops},
          {"unused", health.unused}};
}

}  // namespace pollard::cli
