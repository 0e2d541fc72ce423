// SPDX-License-Identifier: Apache-2.0
#include "pruning/sentence_ops.h"

#include <optional>
#include <string>
#include <utility>

#include "pruning/stand_in_ops.h"

namespace pollard::pruning {

using graph::Arg;
using graph::Op;
using graph::Program;
using graph::Size;
using graph::Value;
using graph::ValueId;

namespace {

class SentenceOps {
 public:
  SentenceOps(Program& program, const AttentionLayer& layer, std::int64_t positions)
      : program_(program), layer_(layer), ops_(program, program.ops[layer.op], "ff"), positions_(positions) {}

  /// `weights`: the program's values of SentenceNetwork::parameters().
  std::vector<Op> write(const std::vector<ValueId>& weights) {
    const ValueId x = layer_.sequence_first ? transposed(layer_.x, 0, 1) : layer_.x;
    const std::vector<Size> shape = program_[x].shape;
    batch_ = shape[0], length_ = shape[1];
    const std::int64_t width = shape[2].hint, out = layer_.heads * layer_.head_dim;
    const std::optional<ValueId> present = numbers();
    const ValueId flat = reshaped(padded(present ? times(x, *present) : x), {fixed(positions_ * width)});
    const std::int64_t hidden = program_[weights[2]].shape[0].hint;
    ValueId y = linear(normed(flat, weights[0], weights[1]), weights[2], weights[3], hidden);
    y = call("aten.leaky_relu.default", {{"self", y}, {"negative_slope", 0.01}}, {batch_, fixed(hidden)});
    y = linear(normed(y, weights[4], weights[5]), weights[6], weights[7], positions_ * out);
    y = cut(reshaped(y, {fixed(positions_), fixed(out)}), out);
    if (present) y = times(y, *present);
    y = transposed(
        call("aten.unflatten.int",
             {{"self", y}, {"dim", std::int64_t{-1}}, {"sizes", Arg::List{layer_.heads, layer_.head_dim}}},
             {batch_, length_, fixed(layer_.heads), fixed(layer_.head_dim)}),
        1, 2);
    const Value& result = program_[ops_.original().outputs[0]];
    if (result.shape.size() == 3)
      call("aten.flatten.using_ints",
           {{"self", y}, {"start_dim", std::int64_t{0}}, {"end_dim", std::int64_t{1}}}, result.shape);
    return ops_.take();
  }

 private:
  static Size fixed(std::int64_t size) { return {.hint = size, .expr = {}}; }

  /// 1 where a position counts, 0 for padding: [B, S, 1] in the type of x.
  std::optional<ValueId> numbers() {
    if (!layer_.present) return std::nullopt;
    const std::vector<Size> shape{batch_, length_, fixed(1)};
    const ValueId column =
        call("aten.unsqueeze.default", {{"self", *layer_.present}, {"dim", std::int64_t{-1}}}, shape,
             program_[*layer_.present].dtype);
    return call("aten.to.dtype", {{"self", column}, {"dtype", program_[layer_.x].dtype}}, shape);
  }

  ValueId times(ValueId x, ValueId factor) {
    return call("aten.mul.Tensor", {{"self", x}, {"other", factor}}, program_[x].shape);
  }
  ValueId transposed(ValueId x, std::int64_t a, std::int64_t b) {
    std::vector<Size> shape = program_[x].shape;
    std::swap(shape[static_cast<std::size_t>(a)], shape[static_cast<std::size_t>(b)]);
    return call("aten.transpose.int", {{"self", x}, {"dim0", a}, {"dim1", b}}, std::move(shape));
  }
  ValueId reshaped(ValueId x, const std::vector<Size>& sizes) {
    Arg::List target{std::int64_t{-1}};
    std::vector<Size> shape{batch_};
    for (const Size& size : sizes) {
      target.emplace_back(size.hint);
      shape.push_back(size);
    }
    return call("aten.reshape.default", {{"self", x}, {"shape", target}}, std::move(shape));
  }
  ValueId normed(ValueId x, ValueId weight, ValueId bias) {
    const std::vector<Size> shape = program_[x].shape;
    return call("aten.layer_norm.default",
                {{"input", x},
                 {"normalized_shape", Arg::List{shape.back().hint}},
                 {"weight", weight},
                 {"bias", bias}},
                shape);
  }
  ValueId linear(ValueId x, ValueId weight, ValueId bias, std::int64_t out) {
    return call("aten.linear.default", {{"input", x}, {"weight", weight}, {"bias", bias}},
                {batch_, fixed(out)});
  }

  /// [B, S, d] -> [B, positions, d]: zeros for the rows that are missing.
  ValueId padded(ValueId x) {
    if (!length_.symbolic() && length_.hint == positions_) return x;
    Arg missing = positions_ - length_.hint;
    if (length_.symbolic()) {
      rows_ = number("aten.sym_size.int", {{"self", x}, {"dim", std::int64_t{1}}}, length_);
      missing = number("_operator.sub", {{"a", positions_}, {"b", *rows_}},
                       {.hint = positions_ - length_.hint,
                        .expr = std::to_string(positions_) + " - (" + length_.expr + ")"});
    }
    return call("aten.constant_pad_nd.default",
                {{"self", x}, {"pad", Arg::List{std::int64_t{0}, std::int64_t{0}, std::int64_t{0}, missing}}},
                {batch_, fixed(positions_), program_[x].shape[2]});
  }
  /// The first S rows of [B, positions, width].
  ValueId cut(ValueId y, std::int64_t width) {
    if (!length_.symbolic() && length_.hint == positions_) return y;
    const Arg end = length_.symbolic() ? Arg(*rows_) : Arg(length_.hint);
    return call("aten.slice.Tensor",
                {{"self", y}, {"dim", std::int64_t{1}}, {"start", std::int64_t{0}}, {"end", end}},
                {batch_, length_, fixed(width)});
  }

  ValueId call(const char* target, std::vector<graph::NamedArg> args, std::vector<Size> shape,
               graph::DType dtype = graph::DType::Unknown) {
    Value value = program_[ops_.original().outputs[0]];
    if (dtype != graph::DType::Unknown) value.dtype = dtype;
    value.shape = std::move(shape);
    return ops_.emit(target, std::move(args), std::move(value));
  }
  ValueId number(const char* target, std::vector<graph::NamedArg> args, Size size) {
    return ops_.emit(target, std::move(args),
                     Value{.name = {}, .kind = Value::Kind::Int, .scalar = std::move(size)});
  }

  Program& program_;
  const AttentionLayer& layer_;
  StandInOps ops_;
  std::int64_t positions_;
  Size batch_, length_;
  std::optional<ValueId> rows_;  ///< S, where it is symbolic
};

}  // namespace

std::vector<Op> sentence_ops(Program& program, const AttentionLayer& layer, std::int64_t positions,
                             const std::vector<ValueId>& weights) {
  return SentenceOps(program, layer, positions).write(weights);
}

}  // namespace pollard::pruning
