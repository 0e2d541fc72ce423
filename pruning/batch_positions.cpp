// SPDX-License-Identifier: Apache-2.0
#include "pruning/batch_positions.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <set>

#include "graph/error.h"
#include "kernels/executor.h"

namespace pollard::pruning {
namespace {

using graph::Op;
using graph::Program;
using graph::ValueId;

std::vector<ValueId> operands(const Op& op) {
  std::vector<ValueId> out;
  for (const graph::NamedArg& named : op.args)
    for (ValueId id : graph::values_in(named.arg)) out.push_back(id);
  return out;
}

bool reads_any(const Op& op, const std::set<ValueId>& values) {
  return std::ranges::any_of(operands(op), [&](ValueId id) { return values.contains(id); });
}

/// Values that neither inputs nor weights reach.
std::set<ValueId> constants(const Program& program) {
  std::set<ValueId> reached, out;
  for (const graph::Input& input : program.inputs) reached.insert(input.value);
  for (const Op& op : program.ops)
    (reads_any(op, reached) ? reached : out).insert(op.outputs.begin(), op.outputs.end());
  return out;
}

/// The counts in `longer` whose length is no longer the one they have in `program`, and what is computed from them.
std::set<ValueId> from_counts(const Program& longer, const Program& program) {
  std::set<ValueId> out;
  for (const Op& op : longer.ops) {
    const bool counts =
        op.base_name() == "arange" && longer[op.outputs[0]].shape != program[op.outputs[0]].shape;
    if (counts || reads_any(op, out)) out.insert(op.outputs.begin(), op.outputs.end());
  }
  return out;
}

/// `wanted` as the program computes them; they must be constants.
std::vector<at::Tensor> evaluate(Program program, const std::set<ValueId>& constant,
                                 const std::vector<ValueId>& wanted) {
  program.inputs.clear();
  program.outputs.clear();
  std::erase_if(program.ops,
                [&](const Op& op) { return op.outputs.empty() || !constant.contains(op.outputs[0]); });
  for (ValueId id : wanted)
    program.outputs.push_back({.value = graph::Arg(id), .kind = graph::Output::Kind::User, .target = {}});
  return kernels::Executor(std::move(program)).run({}, {});
}

/// Along every dimension that became longer, all positions of both are the shorter one's first.
bool all_alike(at::Tensor before, const at::Tensor& after) {
  if (before.dim() != after.dim()) return false;
  const at::Tensor whole = before;
  for (std::int64_t d = 0; d < after.dim(); ++d)
    if (before.size(d) != after.size(d)) before = before.narrow(d, 0, 1);
  const auto repeats = [&](const at::Tensor& x) {
    for (std::int64_t d = 0; d < x.dim(); ++d)
      if (before.size(d) != x.size(d) && before.size(d) != 1) return false;
    return at::equal(x, before.expand_as(x));
  };
  return repeats(whole) && repeats(after);
}

void always_first(Program& program, const std::set<ValueId>& counted) {
  for (Op& op : program.ops) {
    if (op.base_name() != "arange" || !counted.contains(op.outputs[0])) continue;
    const graph::Value& value = program[op.outputs[0]];
    const graph::Arg* start = op.find("start");
    op.target = "aten.full.default";
    const graph::Arg first = start ? *start : graph::Arg(std::int64_t{0});
    op.args = {{"size", graph::Arg(graph::Arg::List{graph::Arg(value.shape[0].hint)})},
               {"fill_value", first},
               {"dtype", graph::Arg(value.dtype), true}};
  }
}

}  // namespace

void repeat_first_position(Program& longer, const Program& program) {
  const std::set<ValueId> counted = from_counts(longer, program);
  if (counted.empty()) return;
  const std::set<ValueId> constant = constants(longer);
  std::set<ValueId> used;
  const auto use = [&](ValueId id) {
    if (constant.contains(id) && counted.contains(id)) used.insert(id);
  };
  for (const Op& op : longer.ops)
    if (!op.outputs.empty() && !constant.contains(op.outputs[0]))
      for (ValueId id : operands(op)) use(id);
  for (const graph::Output& output : longer.outputs)
    if (const auto* id = output.value.as<ValueId>()) use(*id);
  const std::vector<ValueId> wanted(used.begin(), used.end());
  always_first(longer, counted);
  const auto before = evaluate(program, constant, wanted), after = evaluate(longer, constant, wanted);
  for (std::size_t i = 0; i < wanted.size(); ++i)
    if (!all_alike(before[i], after[i]))
      throw UserError({.code = "E0391",
                       .exit = Exit::Unsupported,
                       .subject = longer[wanted[i]].name,
                       .message = "counts the samples of the batch the program was exported with",
                       .where = {},
                       .why = "what it makes of them is not the same for all samples",
                       .help = "export with a dynamic batch dimension"});
}

}  // namespace pollard::pruning
