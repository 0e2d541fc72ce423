// SPDX-License-Identifier: Apache-2.0
// Constant folding: ops that depend on weights and numbers alone run once, now; also those that fill memory in place.
#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "kernels/aliases.h"
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

bool is_computable(const Lowering& l, const Op& op) {
  const bool known = op.target.starts_with("aten.") && !is_random(op.base_name());
  return known && !op.outputs.empty() && std::ranges::all_of(op.outputs, [&](ValueId id) {
           const graph::Value& value = l.value(id);
           return value.kind == graph::Value::Kind::Tensor && value.device.type == "cpu" &&
                  value.numel() <= kLargest;
         });
}

bool is_foldable(const Lowering& l, const Op& op) { return is_computable(l, op) && !graph::writes(op); }

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

/// new_zeros and its like read of a tensor only what type it has: said outright, they depend on nothing.
void say_types(Lowering& l) {
  for (Op& op : l.program.ops) {
    const std::string_view base = op.base_name();
    if (base != "new_zeros" && base != "new_ones" && base != "zeros_like" && base != "ones_like") continue;
    const graph::Value& made = l.value(op.outputs.at(0));
    if (std::ranges::any_of(made.shape, &graph::Size::symbolic)) continue;
    const std::string plain =
        base.find("zeros") == std::string_view::npos ? "aten.ones.default" : "aten.zeros.default";
    const graph::DType dtype = made.dtype;
    const graph::Device device = made.device;
    op.args = {{"size", to_arg(made.sizes())}, {"dtype", dtype, true}, {"device", device, true}};
    op.target = plain;
  }
}

/// Memory, as sets of values that share it, whose content no input has a part in.
class FilledMemory {
 public:
  explicit FilledMemory(const Lowering& l)
      : l_(l), sets_(view_sets(l.program)), open_(l.program.values.size(), false) {
    for (const Op& op : l.program.ops)
      if (graph::writes(op) && !op.outputs.empty())
        if (const auto* target = op.args.at(0).arg.as<ValueId>()) sets_.join(*target, op.outputs[0]);
    for (const graph::Input& input : l.program.inputs) open(input.value);
    while (spread() || read_too_early()) {}
  }

  /// Ops all of whose results lie in such memory.
  std::vector<bool> ops() {
    std::vector<bool> out;
    for (const Op& op : l_.program.ops) out.push_back(closed(op));
    return out;
  }

 private:
  bool is_open(ValueId id) { return open_[sets_.find(id)]; }
  /// Returns whether it was closed before.
  bool open(ValueId id) {
    const std::size_t set = sets_.find(id);
    const bool was_open = open_.at(set);
    open_[set] = true;
    return !was_open;
  }
  bool closed(const Op& op) {
    return !op.outputs.empty() && std::ranges::none_of(op.outputs, [&](ValueId id) { return is_open(id); });
  }

  /// What is made of open memory, or in a way that must wait, is open.
  bool spread() {
    bool changed = false;
    for (const Op& op : l_.program.ops) {
      bool depends = !is_computable(l_, op);
      for (const graph::NamedArg& named : op.args)
        for (ValueId id : graph::values_in(named.arg)) depends = depends || is_open(id);
      if (depends)
        for (ValueId id : op.outputs) changed = open(id) || changed;
    }
    return changed;
  }

  /// Memory that an op outside reads before it is written to for the last time holds two contents.
  bool read_too_early() {
    std::vector<std::size_t> read(open_.size(), l_.program.ops.size());
    bool changed = false;
    for (std::size_t i = 0; i < l_.program.ops.size(); ++i) {
      const Op& op = l_.program.ops[i];
      if (graph::writes(op) && closed(op) && read[sets_.find(op.outputs[0])] < i)
        changed = open(op.outputs[0]) || changed;
      if (closed(op)) continue;
      for (const graph::NamedArg& named : op.args)
        for (ValueId id : graph::values_in(named.arg))
          read[sets_.find(id)] = std::min(read[sets_.find(id)], i);
    }
    return changed;
  }

  const Lowering& l_;
  AliasSets sets_;
  std::vector<bool> open_;
};

std::size_t fold(Lowering& l, const std::vector<bool>& folded) {
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

}  // namespace

std::size_t fold_constants(Lowering& l) { return fold(l, constant_ops(l)); }

std::size_t fold_filled_memory(Lowering& l) {
  if (std::ranges::none_of(l.program.ops, graph::writes)) return 0;
  say_types(l);
  return fold(l, FilledMemory(l).ops());
}

}  // namespace pollard::kernels
