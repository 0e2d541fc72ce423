// SPDX-License-Identifier: Apache-2.0
#include "graph/program_edit.h"

#include <algorithm>
#include <iterator>

namespace pollard::graph {
namespace {

std::size_t at(ValueId id) { return static_cast<std::size_t>(id.index); }

void replace_in(Arg& arg, ValueId from, ValueId to) {
  if (auto* id = arg.as<ValueId>(); id && *id == from) *id = to;
  if (auto* list = arg.as<Arg::List>())
    for (Arg& item : *list) replace_in(item, from, to);
}

}  // namespace

UseIndex::UseIndex(const Program& program) : entries_(program.values.size()) {
  for (std::size_t i = 0; i < program.ops.size(); ++i) {
    const Op& op = program.ops[i];
    for (const NamedArg& named : op.args)
      for (ValueId id : values_in(named.arg)) {
        std::vector<std::size_t>& readers = entries_[at(id)].readers;
        if (readers.empty() || readers.back() != i) readers.push_back(i);
      }
    for (ValueId id : op.outputs) entries_[at(id)].maker = i;
  }
  for (const Output& output : program.outputs)
    for (ValueId id : values_in(output.value)) entries_[at(id)].output = true;
}

std::optional<std::size_t> UseIndex::maker(ValueId value) const { return entries_[at(value)].maker; }
const std::vector<std::size_t>& UseIndex::readers(ValueId value) const { return entries_[at(value)].readers; }
bool UseIndex::is_output(ValueId value) const { return entries_[at(value)].output; }

std::optional<std::size_t> UseIndex::only_reader(ValueId value) const {
  const Entry& entry = entries_[at(value)];
  if (entry.output || entry.readers.size() != 1) return std::nullopt;
  return entry.readers.front();
}

bool writes(const Op& op) {
  const std::string_view base = op.base_name();
  return base.ends_with('_') && !base.ends_with("__");
}

void replace_uses(Program& program, ValueId from, ValueId to, std::size_t first) {
  for (std::size_t i = first; i < program.ops.size(); ++i)
    for (NamedArg& named : program.ops[i].args) replace_in(named.arg, from, to);
  for (Output& output : program.outputs) replace_in(output.value, from, to);
}

void remove_dead_ops(Program& program) {
  std::vector<bool> read(program.values.size(), false);
  const auto mark = [&](const Arg& arg) {
    for (ValueId id : values_in(arg)) read[at(id)] = true;
  };
  for (const Output& output : program.outputs) mark(output.value);
  std::vector<Op> kept;
  for (auto op = program.ops.rbegin(); op != program.ops.rend(); ++op) {
    const bool used =
        op->outputs.empty() || std::ranges::any_of(op->outputs, [&](ValueId id) { return read[at(id)]; });
    if (!used && !writes(*op)) continue;
    for (const NamedArg& named : op->args) mark(named.arg);
    kept.push_back(std::move(*op));
  }
  program.ops.assign(std::make_move_iterator(kept.rbegin()), std::make_move_iterator(kept.rend()));
}

}  // namespace pollard::graph
