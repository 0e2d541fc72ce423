// SPDX-License-Identifier: Apache-2.0
#include "cli/bench/compare.h"

#include <algorithm>
#include <utility>

#include "models/io/memory.h"
#include "pruning/calibration.h"

namespace pollard::cli {
namespace {

// A network exported for one batch size gets its size arguments rewritten for another; weights are shared.
models::Model at_batch(const AnalysedModel& m, std::optional<std::int64_t> batch) {
  models::Model model = m.model;
  if (batch) model.program = pruning::with_batch(m.model.program, m.dependencies, *batch);
  return model;
}

double elements(const std::vector<std::int64_t>& shape) {
  double out = 1;
  for (const std::int64_t size : shape) out *= static_cast<double>(size);
  return out;
}

/// What is known to be needed on the way: the activations of the worst moment grow at least as the first input does.
void check_memory(const Entry& entry, const models::Model& model, const Shapes& shapes) {
  const std::vector<const graph::Input*> inputs = model.program.user_inputs();
  if (shapes.empty() || inputs.empty()) return;
  const double growth = elements(shapes.front()) /
                        std::max(1.0, elements(entry.m.model.program[inputs.front()->value].sizes()));
  const double bytes = static_cast<double>(entry.cost.peak_activation_bytes) * std::max(1.0, growth);
  models::io::require_memory(static_cast<std::uint64_t>(std::min(bytes, 0x1p62)), entry.m.path,
                             "try a smaller --batch, or --device cuda");
}

Contestant contestant(const Entry& entry, const Load& load, Kernels kernels) {
  const models::Model model = at_batch(entry.m, load.batch);
  Shapes shapes = input_shapes_for(model, load.shapes, load.batch);
  if (load.device.is_cpu()) check_memory(entry, model, shapes);
  return {model, std::move(shapes), load.type, load.device, load.seed, kernels};
}

BenchRow row_of(const Entry& entry, Kernels kernels, const Timing& timing, const std::string& type) {
  return {.model = entry.m.path,
          .kernels = kernels == Kernels::Pollard ? "pollard" : "torch",
          .dtype = type,
          .batch = std::to_string(timing.rows),
          .timing = timing,
          .cost = entry.cost};
}

}  // namespace

Entry make_entry(AnalysedModel m) {
  const graph::CostModel cost(m.model.program, m.dependencies);
  const graph::Cost full = cost.evaluate(graph::full_widths(m.dependencies));
  return {.m = std::move(m), .cost = full};
}

std::vector<BenchRow> compare(const std::vector<Entry>& entries, const Load& load, int warmup, int repeat,
                              const std::function<void()>& after_round) {
  std::vector<Contestant> contestants;
  for (const Entry& entry : entries)
    for (const Kernels kernels : load.kernels) contestants.push_back(contestant(entry, load, kernels));
  const std::vector<Timing> timings = race(contestants, warmup, repeat, after_round);
  std::vector<BenchRow> rows;
  for (const Entry& entry : entries)
    for (const Kernels kernels : load.kernels)
      rows.push_back(row_of(entry, kernels, timings[rows.size()], load.type ? load.type_name : "own"));
  const auto first_macs = static_cast<double>(rows[0].cost.macs);
  for (BenchRow& row : rows) {
    row.speedup = rows[0].median() / row.median();
    if (row.cost.macs > 0) row.macs_ratio = first_macs / static_cast<double>(row.cost.macs);
  }
  return rows;
}

}  // namespace pollard::cli
