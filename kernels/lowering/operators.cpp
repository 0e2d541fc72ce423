// SPDX-License-Identifier: Apache-2.0
// pollard's own operators (kernels/operators.h) written out in ATen's. What runs them faster is found again by later rules.
#include <algorithm>
#include <iterator>

#include "kernels/lowering/writer.h"

namespace pollard::kernels {
namespace {

using graph::Arg;
using graph::NamedArg;
using graph::Op;
using graph::Size;
using graph::ValueId;

// Bidirectional layers -----------------------------------------------------------------------------------------

ValueId transposed(Writer& w, ValueId map) {
  Shape shape = w.shape(map);
  std::swap(shape[1], shape[2]);
  return w.emit("aten.transpose.int", {{"self", map}, {"dim0", std::int64_t{1}}, {"dim1", std::int64_t{2}}},
                std::move(shape));
}

/// An LSTM's or a GRU's call, "aten.gru.input", over sequences [B, T, C] from zeros.
struct LayerCall {
  std::string target;
  std::vector<NamedArg> args;
  Shape result, state;
  std::size_t states;
};

LayerCall layer_call(Writer& w, const std::string& kind, ValueId input, const std::vector<ValueId>& weights) {
  const Shape in = w.shape(input);
  const Size hidden = w.shape(weights[1])[1];
  const bool cells = kind == "lstm";
  LayerCall call{.target = "aten." + kind + ".input",
                 .args = {},
                 .result = {in[0], in[1], fixed(2 * hidden.hint)},
                 .state = {fixed(2), in[0], hidden},
                 .states = cells ? 2U : 1U};
  const ValueId zeros =
      w.emit("aten.new_zeros.default",
             {{"self", input}, {"size", list({std::int64_t{2}, w.size(input, 0), hidden.hint})}}, call.state);
  call.args = {{"input", input},
               {"hx", cells ? list({zeros, zeros}) : Arg(zeros)},
               {"params", Arg::List(weights.begin(), weights.end())},
               {"has_biases", weights.size() == 8},
               {"num_layers", std::int64_t{1}},
               {"dropout", 0.0},
               {"train", false},
               {"bidirectional", true},
               {"batch_first", true}};
  return call;
}

ValueId along_rows(Writer& w, const std::string& kind, ValueId map, const std::vector<ValueId>& weights) {
  const Shape in = w.shape(map);
  const ValueId rows =
      w.emit("aten.reshape.default",
             {{"self", map}, {"shape", list({std::int64_t{-1}, w.size(map, 2), w.size(map, 3)})}},
             {product(in[0], in[1]), in[2], in[3]});
  LayerCall call = layer_call(w, kind, rows, weights);
  const Size joined = call.result[2];
  std::vector<Shape> shapes(call.states, call.state);
  shapes.insert(shapes.begin(), call.result);
  const ValueId y = w.emit_first(call.target, std::move(call.args), std::move(shapes));
  return w.emit("aten.reshape.default",
                {{"self", y}, {"shape", list({w.size(map, 0), w.size(map, 1), w.size(map, 2), joined.hint})}},
                {in[0], in[1], in[2], joined});
}

void write_map(Writer& w, const Op& op, const std::string& kind) {
  const ValueId map = *op.tensor("input");
  const ValueId columns = transposed(w, along_rows(w, kind, transposed(w, map), op.tensors("columns")));
  const ValueId rows = along_rows(w, kind, map, op.tensors("rows"));
  w.finish("aten.cat.default", {{"tensors", list({columns, rows})}, {"dim", std::int64_t{-1}}});
}

void write_bilstm2d(Writer& w, const Op& op) { write_map(w, op, "lstm"); }
void write_bigru2d(Writer& w, const Op& op) { write_map(w, op, "gru"); }

void write_bigru(Writer& w, const Op& op) {
  LayerCall call = layer_call(w, "gru", *op.tensor("input"), op.tensors("weights"));
  w.finish_first(call.target, std::move(call.args), {call.state});
}

// mLSTM --------------------------------------------------------------------------------------------------------

void write_mlstm(Writer& w, const Op& op) {
  const ValueId q = *op.tensor("q"), k = *op.tensor("k"), v = *op.tensor("v");
  const Shape gate = w.shape(*op.tensor("i"));
  const Size steps = gate[2], one = fixed(1);
  const Shape scores_shape{gate[0], gate[1], steps, steps}, row{gate[0], gate[1], steps, one};
  constexpr std::int64_t kLast = -1, kBefore = -2;
  const auto unary = [&](const char* name, ValueId x) {
    return w.emit(std::string("aten.") + name + ".default", {{"self", x}}, w.shape(x));
  };
  const auto binary = [&](const char* target, ValueId a, Arg b, Shape shape) {
    return w.emit(target, {{"self", a}, {"other", std::move(b)}}, std::move(shape));
  };
  const auto unsqueezed = [&](ValueId x, std::int64_t dim, Shape shape) {
    return w.emit("aten.unsqueeze.default", {{"self", x}, {"dim", dim}}, std::move(shape));
  };
  const ValueId decay =
      w.emit("aten.cumsum.default", {{"self", unary("log_sigmoid", *op.tensor("f"))}, {"dim", kLast}}, gate);
  const ValueId g = binary("aten.sub.Tensor", *op.tensor("i"), decay, gate);
  const ValueId top = w.emit_first("aten.cummax.default", {{"self", g}, {"dim", kLast}}, {gate, gate});
  const ValueId distance = binary("aten.sub.Tensor", unsqueezed(g, kBefore, {gate[0], gate[1], one, steps}),
                                  unsqueezed(top, kLast, row), scores_shape);
  const ValueId clamped =
      w.emit("aten.clamp_max.default", {{"self", distance}, {"max", std::int64_t{0}}}, scores_shape);
  const ValueId weights = unary("tril", unary("exp", clamped));
  Shape turned = w.shape(k);
  std::swap(turned[2], turned[3]);
  const ValueId kt =
      w.emit("aten.transpose.int", {{"self", k}, {"dim0", kLast}, {"dim1", kBefore}}, std::move(turned));
  const ValueId scores =
      binary("aten.mul.Tensor", binary("aten.matmul.default", q, kt, scores_shape), weights, scores_shape);
  const ValueId value = binary("aten.matmul.default", scores, v, w.shape(v));
  const ValueId total =
      w.emit("aten.sum.dim_IntList", {{"self", scores}, {"dim", list({kLast})}, {"keepdim", true}}, row);
  const ValueId bound =
      unary("exp", unary("neg", unsqueezed(binary("aten.add.Tensor", decay, top, gate), kLast, row)));
  const ValueId largest = binary("aten.maximum.default", unary("abs", total), bound, row);
  w.finish("aten.div.Tensor",
           {{"self", value}, {"other", binary("aten.add.Tensor", largest, *op.find("eps"), row)}});
}

// Monarch ------------------------------------------------------------------------------------------------------

/// x [rows, n, in] by blocks [n, out, in]: [n, rows, out].
ValueId by_block(Writer& w, ValueId x, ValueId blocks) {
  const Shape from = w.shape(x), b = w.shape(blocks);
  const auto swapped = [&](ValueId id, std::int64_t dim, Shape shape) {
    return w.emit("aten.transpose.int", {{"self", id}, {"dim0", dim}, {"dim1", dim + 1}}, std::move(shape));
  };
  const ValueId left = swapped(x, 0, {from[1], from[0], from[2]}),
                right = swapped(blocks, 1, {b[0], b[2], b[1]});
  return w.emit("aten.bmm.default", {{"self", left}, {"mat2", right}}, {b[0], from[0], b[1]});
}

void write_monarch(Writer& w, const Op& op) {
  const ValueId x = *op.tensor("input"), first = *op.tensor("first"), second = *op.tensor("second");
  const Shape in = w.shape(x), a = w.shape(first), b = w.shape(second);
  Size rows = fixed(1);
  std::vector<Arg> result;
  for (std::size_t d = 0; d + 1 < in.size(); ++d) {
    rows = rows == fixed(1) ? in[d] : product(rows, in[d]);
    result.push_back(w.size(x, d));
  }
  result.emplace_back(b[1].hint * b[0].hint);
  const auto reshaped = [&](ValueId id, const Size& n, const Size& m) {
    return w.emit("aten.reshape.default", {{"self", id}, {"shape", list({std::int64_t{-1}, n.hint, m.hint})}},
                  {rows, n, m});
  };
  const auto permuted = [&](ValueId id, std::vector<std::int64_t> dims, Shape shape) {
    return w.emit("aten.permute.default", {{"self", id}, {"dims", to_arg(dims)}}, std::move(shape));
  };
  const ValueId inner = by_block(w, reshaped(x, a[0], a[2]), first);
  const ValueId read = reshaped(permuted(inner, {1, 0, 2}, {rows, a[0], a[1]}), b[2], b[0]);
  const ValueId outer = by_block(w, permuted(read, {0, 2, 1}, {rows, b[0], b[2]}), second);
  w.finish("aten.reshape.default",
           {{"self", permuted(outer, {1, 2, 0}, {rows, b[1], b[0]})}, {"shape", list(std::move(result))}});
}

using Write = void (*)(Writer&, const Op&);

/// On a CUDA device layers alone, which are packed once then; the others run in kernels of their own as they are.
Write writer_of(std::string_view target, at::DeviceType device) {
  if (target == "pollard.bilstm2d.default") return write_bilstm2d;
  if (target == "pollard.bigru2d.default") return write_bigru2d;
  if (target == "pollard.bigru.default") return write_bigru;
  if (device == at::kCUDA) return nullptr;
  if (target == "pollard.mlstm.default") return write_mlstm;
  if (target == "pollard.focused_linear_attention.default") return write_focused_attention;
  if (target == "pollard.masked_attention.default") return write_masked_attention;
  if (target == "pollard.cascaded_group_attention.default") return write_cascaded_attention;
  if (target == "pollard.monarch.default") return write_monarch;
  return nullptr;
}

}  // namespace

std::size_t write_out_operators(Lowering& l) {
  std::size_t places = 0;
  std::vector<Op> ops;
  for (const Op& op : l.program.ops) {
    const Write write = writer_of(op.target, l.options.device);
    if (!write) {
      ops.push_back(op);
      continue;
    }
    Writer writer(l, op);
    write(writer, op);
    std::ranges::move(writer.ops, std::back_inserter(ops));
    ++places;
  }
  l.program.ops = std::move(ops);
  return places;
}

}  // namespace pollard::kernels
