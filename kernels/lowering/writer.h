// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "kernels/lowering/state.h"

namespace pollard::kernels {

using graph::Size;
using Shape = std::vector<Size>;

inline graph::Arg list(std::vector<graph::Arg> entries) { return graph::Arg::List(std::move(entries)); }
inline Size fixed(std::int64_t size) { return {size, ""}; }
inline Size product(const Size& a, const Size& b) {
  const auto text = [](const Size& s) { return s.symbolic() ? "(" + s.expr + ")" : std::to_string(s.hint); };
  return {a.hint * b.hint, a.symbolic() || b.symbolic() ? text(a) + "*" + text(b) : ""};
}

/// Writes the ops that take one op's place.
class Writer {
 public:
  Writer(Lowering& l, const graph::Op& origin) : l_(l), origin_(origin) {}

  const Shape& shape(graph::ValueId id) const { return l_.value(id).shape; }

  /// A size as an argument: a number, or an op that asks for it.
  graph::Arg size(graph::ValueId tensor, std::size_t dim) {
    const Size size = shape(tensor)[dim];
    if (!size.symbolic()) return size.hint;
    graph::Value value{.name = next_name(), .kind = graph::Value::Kind::Int};
    value.scalar = size;
    return append("aten.sym_size.int", {{"self", tensor}, {"dim", static_cast<std::int64_t>(dim)}},
                  {l_.program.add(std::move(value))});
  }

  graph::ValueId emit(const std::string& target, std::vector<graph::NamedArg> args, Shape shape) {
    return append(target, std::move(args), {tensor(std::move(shape))});
  }
  /// Whose results after the first nobody reads.
  graph::ValueId emit_first(const std::string& target, std::vector<graph::NamedArg> args,
                            std::vector<Shape> shapes) {
    std::vector<graph::ValueId> outputs;
    for (Shape& shape : shapes) outputs.push_back(tensor(std::move(shape)));
    return append(target, std::move(args), std::move(outputs));
  }
  /// The op that gives the result.
  void finish(const std::string& target, std::vector<graph::NamedArg> args) {
    append(target, std::move(args), origin_.outputs);
  }

  /// The same for one that has further results, which nobody reads.
  void finish_first(const std::string& target, std::vector<graph::NamedArg> args,
                    std::vector<Shape> further) {
    std::vector<graph::ValueId> outputs = origin_.outputs;
    for (Shape& shape : further) outputs.push_back(tensor(std::move(shape)));
    append(target, std::move(args), std::move(outputs));
  }

  std::vector<graph::Op> ops;

 private:
  std::string next_name() { return l_.value(origin_.outputs[0]).name + "_part" + std::to_string(parts_++); }
  graph::ValueId tensor(Shape shape) {
    graph::Value value = l_.value(origin_.outputs[0]);
    value.name = next_name();
    value.shape = std::move(shape);
    value.strides.clear();
    value.stride_exprs.clear();
    return l_.program.add(std::move(value));
  }
  graph::ValueId append(const std::string& target, std::vector<graph::NamedArg> args,
                        std::vector<graph::ValueId> outputs) {
    const graph::ValueId first = outputs[0];
    ops.push_back({.target = target,
                   .args = std::move(args),
                   .outputs = std::move(outputs),
                   .name = origin_.name + "_part" + std::to_string(ops.size()),
                   .module = origin_.module});
    return first;
  }

  Lowering& l_;
  const graph::Op& origin_;
  int parts_ = 0;
};

// Operators of attention, written out (attention_operators.cpp).
void write_focused_attention(Writer& w, const graph::Op& op);
void write_masked_attention(Writer& w, const graph::Op& op);
void write_cascaded_attention(Writer& w, const graph::Op& op);

}  // namespace pollard::kernels
