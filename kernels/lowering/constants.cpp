// SPDX-License-Identifier: Apache-2.0
// Constant folding: ops that depend on weights and numbers alone run once, now.
#include <algorithm>
#include <array>
#include <vector>

#include "kernels/lowering/state.h"

namespace pollard::kernels {
namespace {

using graph::Op;
using graph::ValueId;

/// Results larger than this stay computed: a mask of positions need not become a weight of the model.
constexpr std::int64_t kLargest = std::int64_t{1} << 24;  // elements

bool is_random(std::string_view base) {
  static constexpr std::array<std::string_view, 16> kRandom{
      "rand",           "rand_like", "randn",     "randn_like", "randint", "randint_like",
      "randperm",       "random",    "bernoulli", "binomial",   "poisson", "multinomial",
      "native_dropout", "normal",    "uniform",   "rrelu"};
  return std::ranges::find(kRandom, base) != kRandom.end() ||
         base.find("dropout") != std::string_view::npos || base.starts_with("empty") ||
         base.starts_with("new_empty");
}

bool is_foldable(const Lowering& l, const Op& op) {
  const bool pure = op.target.starts_with("aten.") && !graph::writes(op) && !is_random(op.base_name());
  return pure && !op.outputs.empty() && std::ranges::all_of(op.outputs, [&](ValueId id) {
           const graph::Value& value = l.value(id);
           return value.kind == graph::Value::Kind::Tensor && value.device.type == "cpu" &&
                  value.numel() <= kLargest;
         });
}

/// Which ops depend on constants alone.
std::vector<bool> constant_ops(const Lowering& l) {
  std::vector<bool> known(l.program.values.size(), false), folded(l.program.ops.size(), false);
  for (const graph::Input& input : l.program.inputs)
    if (!input.constant && l.constant(input.value)) known[static_cast<std::size_t>(input.value.index)] = true;
  for (std::size_t i = 0; i < l.program.ops.size(); ++i) {
    const Op& op = l.program.ops[i];
    bool constant = is_foldable(l, op);
    for (const graph::NamedArg& named : op.args)
      for (ValueId id : graph::values_in(named.arg))
        constant = constant && known[static_cast<std::size_t>(id.index)];
    folded[i] = constant;
    if (constant)
      for (ValueId id : op.outputs) known[static_cast<std::size_t>(id.index)] = true;
  }
  return folded;
}

/// The folded ops' results that others read.
std::vector<ValueId> frontier(const Lowering& l, const std::vector<bool>& folded) {
  std::vector<ValueId> out;
  for (std::size_t i = 0; i < folded.size(); ++i)
    for (ValueId id : l.program.ops[i].outputs) {
      const auto& readers = l.uses().readers(id);
      const bool read = l.uses().is_output(id) ||
                        std::ranges::any_of(readers, [&](std::size_t reader) { return !folded[reader]; });
      if (folded[i] && read) out.push_back(id);
    }
  return out;
}

std::vector<at::Tensor> compute(const Lowering& l, const std::vector<bool>& folded,
                                const std::vector<ValueId>& wanted) {
  graph::Program constants;
  constants.values = l.program.values;
  for (const graph::Input& input : l.program.inputs)
    if (input.kind != graph::Input::Kind::User) constants.inputs.push_back(input);
  for (std::size_t i = 0; i < folded.size(); ++i)
    if (folded[i]) constants.ops.push_back(l.program.ops[i]);
  for (ValueId id : wanted) constants.outputs.push_back({.value = id});
  return Executor(std::move(constants)).run(l.weights, {});
}

}  // namespace

std::size_t fold_constants(Lowering& l) {
  const std::vector<bool> folded = constant_ops(l);
  const std::vector<ValueId> wanted = frontier(l, folded);
  if (wanted.empty()) return 0;
  const std::vector<at::Tensor> results = compute(l, folded, wanted);
  std::vector<Op> kept;
  for (std::size_t i = 0; i < folded.size(); ++i)
    if (!folded[i]) kept.push_back(std::move(l.program.ops[i]));
  l.program.ops = std::move(kept);
  for (std::size_t i = 0; i < wanted.size(); ++i) l.make_constant(wanted[i], results[i]);
  return static_cast<std::size_t>(std::ranges::count(folded, true));
}

}  // namespace pollard::kernels
