// SPDX-License-Identifier: Apache-2.0
#include "pruning/fairness/program_tail.h"

#include <algorithm>

namespace pollard::pruning::fairness {
namespace {

using graph::Program;
using graph::ValueId;

class Needs {
 public:
  explicit Needs(const Program& program) : needed_(program.values.size(), false) {}
  void add(const graph::Arg& arg) {
    for (const ValueId id : graph::values_in(arg)) needed_[static_cast<std::size_t>(id.index)] = true;
  }
  bool has(ValueId id) const { return needed_[static_cast<std::size_t>(id.index)]; }

 private:
  std::vector<bool> needed_;
};

/// Which ops run again, and in `needs` every value they read.
std::vector<std::size_t> ops_again(const Program& program, std::size_t first_op, Needs& needs) {
  std::vector<std::size_t> again;
  for (std::size_t i = program.ops.size(); i-- > 0;) {
    const graph::Op& op = program.ops[i];
    const bool sizes = std::ranges::any_of(op.outputs, [&](ValueId id) {
      return needs.has(id) && program[id].kind != graph::Value::Kind::Tensor;
    });
    if (i < first_op && !sizes) continue;
    again.push_back(i);
    for (const graph::NamedArg& named : op.args) needs.add(named.arg);
  }
  std::ranges::reverse(again);
  return again;
}

}  // namespace

std::size_t first_mixing_op(const Program& program, const graph::Dependencies& d,
                            const graph::Removal& removal) {
  const auto is_tensor = [&](ValueId id) { return program[id].kind == graph::Value::Kind::Tensor; };
  const auto dims = [&](ValueId id) {
    const auto removed = [&](graph::TermId term) { return graph::touched(d, term, removal); };
    return is_tensor(id) ? std::ranges::count_if(d[id].dims, removed) : 0;
  };
  const auto mixes = [&](const graph::Op& op) {
    bool reads = false, twice = false;
    for (const graph::NamedArg& named : op.args)
      for (const ValueId id : graph::values_in(named.arg)) {
        reads = reads || dims(id) > 0;
        twice = twice || dims(id) > 1;
      }
    const bool lost =
        std::ranges::any_of(op.outputs, [&](ValueId id) { return is_tensor(id) && dims(id) == 0; });
    return twice || (reads && lost);
  };
  std::size_t first = 0;
  while (first < program.ops.size() && !mixes(program.ops[first])) ++first;
  if (first == program.ops.size()) return 0;  // the units are outputs: nothing can be told apart
  for (const graph::Renormalisation& r : d.renormalisations)
    if (graph::touched(d, r.term, removal)) first = std::min(first, static_cast<std::size_t>(r.op));
  return first;
}

ProgramTail tail_from(const Program& program, std::size_t first_op) {
  ProgramTail out;
  Needs needs(program);
  for (const graph::Output& output : program.outputs) needs.add(output.value);
  out.ops = ops_again(program, first_op, needs);
  out.program.values = program.values;
  out.program.outputs = program.outputs;
  out.program.symbols = program.symbols;

  std::vector<graph::Input> user;
  for (const graph::Input& input : program.inputs) {
    if (input.constant || !needs.has(input.value)) continue;
    (input.kind == graph::Input::Kind::User ? user : out.program.inputs).push_back(input);
  }
  for (std::size_t i = 0, next = 0; i < program.ops.size(); ++i) {
    if (next < out.ops.size() && out.ops[next] == i) {
      out.program.ops.push_back(program.ops[i]);
      ++next;
      continue;
    }
    for (const ValueId id : program.ops[i].outputs)
      if (needs.has(id)) {
        user.emplace_back();
        user.back().value = id;
      }
  }
  for (const graph::Input& input : user)
    if (out.program[input.value].kind == graph::Value::Kind::Tensor) out.given.push_back(input.value);
  out.program.inputs.insert(out.program.inputs.end(), user.begin(), user.end());
  return out;
}

}  // namespace pollard::pruning::fairness
