// SPDX-License-Identifier: Apache-2.0
#include "pruning/stream/segments.h"

#include <algorithm>
#include <limits>
#include <map>
#include <set>

#include "graph/error.h"
#include "graph/program_edit.h"

namespace pollard::pruning {
namespace {

using graph::Program;
using graph::ValueId;

std::uint64_t bytes_of(const Program& program, ValueId id) {
  const auto size = std::max<std::int64_t>(4, graph::dtype_size(program[id].dtype));
  return static_cast<std::uint64_t>(program[id].numel() * size);
}

std::vector<ValueId> read_by(const graph::Op& op) {
  std::vector<ValueId> out;
  for (const graph::NamedArg& named : op.args)
    for (const ValueId id : graph::values_in(named.arg)) out.push_back(id);
  return out;
}

/// The op that makes each value; -1 for inputs.
std::vector<std::int64_t> makers_of(const Program& program) {
  std::vector<std::int64_t> makers(program.values.size(), -1);
  for (std::size_t i = 0; i < program.ops.size(); ++i)
    for (const ValueId id : program.ops[i].outputs)
      makers[static_cast<std::size_t>(id.index)] = static_cast<std::int64_t>(i);
  return makers;
}

/// Bytes of results that are alive between op i and the next, by i.
std::vector<std::uint64_t> alive_after(const Program& program) {
  const std::vector<std::int64_t> makers = makers_of(program);
  std::vector<std::size_t> last(program.values.size(), 0);
  for (std::size_t i = 0; i < program.ops.size(); ++i)
    for (const ValueId id : read_by(program.ops[i])) last[static_cast<std::size_t>(id.index)] = i;
  std::vector<std::int64_t> change(program.ops.size() + 1, 0);
  for (std::size_t v = 0; v < makers.size(); ++v) {
    const ValueId id{static_cast<std::int32_t>(v)};
    if (makers[v] < 0 || program[id].kind != graph::Value::Kind::Tensor ||
        last[v] <= static_cast<std::size_t>(makers[v]))
      continue;
    const auto bytes = static_cast<std::int64_t>(bytes_of(program, id));
    change[static_cast<std::size_t>(makers[v])] += bytes;
    change[last[v]] -= bytes;
  }
  std::vector<std::uint64_t> out;
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < program.ops.size(); ++i)
    out.push_back(static_cast<std::uint64_t>(sum += change[i]));
  return out;
}

std::vector<std::size_t> cut(const Program& program, std::uint64_t weight_bytes) {
  if (std::ranges::any_of(program.ops, graph::writes)) return {program.ops.size()};
  std::set<ValueId> stored;
  for (const graph::Input& input : program.inputs)
    if (input.kind != graph::Input::Kind::User) stored.insert(input.value);
  const std::vector<std::uint64_t> alive = alive_after(program);
  std::vector<std::size_t> ends;
  std::set<ValueId> loaded;
  std::uint64_t held = 0, best_held = 0;
  std::size_t best = 0;  // end of the best segment seen so far, 0: none yet
  for (std::size_t i = 0; i < program.ops.size(); ++i) {
    for (const ValueId id : read_by(program.ops[i]))
      if (stored.contains(id) && loaded.insert(id).second) held += bytes_of(program, id);
    if (held > weight_bytes && best > 0) {
      ends.push_back(best);
      i = best - 1;  // go on behind the cut
      loaded.clear();
      held = best_held = 0;
      best = 0;
      continue;
    }
    // Not in the first half of the room: parts would be many and their activations written often.
    if (best == 0 || best_held < weight_bytes / 2 || alive[i] <= alive[best - 1]) {
      best = i + 1;
      best_held = held;
    }
  }
  ends.push_back(program.ops.size());
  return ends;
}

/// Copies parts of a program, with values of its own.
class Copy {
 public:
  explicit Copy(const Program& from) : from_(from) { out_.symbols = from.symbols; }

  void add_input(graph::Input input) {
    input.value = map(input.value);
    out_.inputs.push_back(std::move(input));
  }
  void add_op(graph::Op op) {
    for (graph::NamedArg& named : op.args) rename(named.arg);
    for (ValueId& id : op.outputs) id = map(id);
    out_.ops.push_back(std::move(op));
  }
  void add_output(ValueId id) { out_.outputs.push_back({.value = map(id), .kind = {}, .target = {}}); }
  Program take() { return std::move(out_); }

 private:
  ValueId map(ValueId id) {
    const auto [found, fresh] = ids_.try_emplace(id);
    if (fresh) found->second = out_.add(from_[id]);
    return found->second;
  }
  void rename(graph::Arg& arg) {
    if (ValueId* id = arg.as<ValueId>())
      *id = map(*id);
    else if (auto* list = arg.as<graph::Arg::List>())
      for (graph::Arg& each : *list) rename(each);
  }

  const Program& from_;
  Program out_;
  std::map<ValueId, ValueId> ids_;
};

}  // namespace

Segments::Segments(const Program& program, std::uint64_t weight_bytes)
    : ends_(cut(program, weight_bytes)), makers_(makers_of(program)) {
  last_reader_.assign(program.values.size(), -1);
  for (std::size_t s = 0; s < ends_.size(); ++s)
    for (const ValueId id : needs_of(program, s).read)
      last_reader_[static_cast<std::size_t>(id.index)] = static_cast<std::int32_t>(s);
  for (const graph::Output& output : program.outputs)
    for (const ValueId id : graph::values_in(output.value))
      last_reader_[static_cast<std::size_t>(id.index)] = std::numeric_limits<std::int32_t>::max();
}

Segments::Needs Segments::needs_of(const Program& program, std::size_t index) const {
  const std::size_t begin = index == 0 ? 0 : ends_[index - 1];
  std::set<std::size_t> ops;
  std::set<ValueId> read;
  std::vector<std::size_t> open;
  for (std::size_t i = begin; i < ends_[index]; ++i) open.push_back(i);
  while (!open.empty()) {
    const std::size_t i = open.back();
    open.pop_back();
    if (!ops.insert(i).second) continue;
    for (const ValueId id : read_by(program.ops[i])) {
      const std::int64_t maker = makers_[static_cast<std::size_t>(id.index)];
      if (maker >= static_cast<std::int64_t>(begin)) continue;
      if (maker >= 0 && program[id].kind != graph::Value::Kind::Tensor)
        open.push_back(static_cast<std::size_t>(maker));
      else
        read.insert(id);
    }
  }
  Needs needs{.ops = {ops.begin(), ops.end()}, .read = {}};
  // What an op of before makes beside its number is not made anew.
  std::set<ValueId> made;
  for (const std::size_t i : needs.ops)
    made.insert(program.ops[i].outputs.begin(), program.ops[i].outputs.end());
  std::ranges::copy_if(read, std::back_inserter(needs.read), [&](ValueId id) { return !made.contains(id); });
  return needs;
}

Segment Segments::segment(const Program& program, std::size_t index) const {
  POLLARD_CHECK(program.ops.size() == ends_.back(), "another program than the one that was cut");
  const Needs needs = needs_of(program, index);
  const std::size_t begin = index == 0 ? 0 : ends_[index - 1];
  Segment out{.program = {}, .in = {}, .out = {}, .end = ends_[index]};
  Copy copy(program);
  std::set<ValueId> read(needs.read.begin(), needs.read.end());
  for (const graph::Input& input : program.inputs) {
    const bool user = input.kind == graph::Input::Kind::User;
    if (!read.erase(input.value)) continue;
    copy.add_input(input);
    if (user && !input.constant && program[input.value].kind == graph::Value::Kind::Tensor)
      out.in.push_back(input.value);
  }
  for (const ValueId id : read) {
    POLLARD_CHECK(program[id].kind == graph::Value::Kind::Tensor, "a number is computed where it is read");
    copy.add_input({.value = id, .kind = graph::Input::Kind::User});
    out.in.push_back(id);
  }
  for (const std::size_t i : needs.ops) {
    copy.add_op(program.ops[i]);
    if (i < begin) continue;
    for (const ValueId id : program.ops[i].outputs)
      if (program[id].kind == graph::Value::Kind::Tensor &&
          last_reader_[static_cast<std::size_t>(id.index)] > static_cast<std::int32_t>(index)) {
        copy.add_output(id);
        out.out.push_back(id);
      }
  }
  out.program = copy.take();
  return out;
}

bool Segments::is_last_reader(ValueId value, std::size_t segment) const {
  return last_reader_[static_cast<std::size_t>(value.index)] == static_cast<std::int32_t>(segment);
}

}  // namespace pollard::pruning
