// SPDX-License-Identifier: Apache-2.0
// What stands around an mLSTM in a Vision-LSTM layer (models/layers/vil_layer.h), found as the built-in networks write it in
// ATen's operators.
#include "kernels/lowering/mlstm_cell.h"

#include <ATen/ATen.h>

#include <array>
#include <string>
#include <vector>

#include "kernels/lowering/state.h"
#include "kernels/recurrent/mlstm_cell.h"

namespace pollard::kernels {
namespace {

using graph::Op;
using graph::ValueId;

std::optional<at::Tensor> float_constant(Lowering& l, std::optional<ValueId> value, std::int64_t dims) {
  const auto tensor = value ? l.float_constant(*value) : std::nullopt;
  return tensor && tensor->dim() == dims ? tensor : std::nullopt;
}

// Causal convolutions -------------------------------------------------------------------------------------------

struct CausalConvolution {
  ValueId x;
  at::Tensor weight, bias;
};

/// transpose(conv1d(transpose(x), padding kernel - 1) without its last positions).
std::optional<CausalConvolution> causal_convolution(Lowering& l, std::optional<ValueId> value) {
  const auto cut = transposed_from(l, value, 1, 2);
  const Op* slice = cut ? l.made_by(*cut, "slice") : nullptr;
  const auto whole = slice ? slice->tensor("self") : std::nullopt;
  const Op* conv = whole ? l.made_by(*whole, "conv1d") : nullptr;
  const auto x = conv ? transposed_from(l, conv->tensor("input"), 1, 2) : std::nullopt;
  const auto weight = x ? float_constant(l, conv->tensor("weight"), 3) : std::nullopt;
  if (!weight || !l.is_float(*x) || l.value(*x).shape.size() != 3) return std::nullopt;
  const std::int64_t width = weight->size(0), kernel = weight->size(2);
  const auto is = [&](const char* name, std::int64_t fallback, std::int64_t wanted) {
    return numbers(*conv, name, 1, fallback) == std::vector{wanted};
  };
  const bool causal = is("stride", 1, 1) && is("padding", 0, kernel - 1) && is("dilation", 1, 1) &&
                      conv->int_or("groups", 1) == width && weight->size(1) == 1;
  const bool first = slice->int_or("dim", 0) == 2 && number(*slice, "start", 0) == 0.0 &&
                     number(*slice, "step", 1) == 1.0 && l.value(*cut).shape[2] == l.value(*x).shape[1];
  const auto given = conv->tensor("bias");
  const auto bias = given ? float_constant(l, given, 1) : at::zeros({width});
  if (!causal || !first || !bias) return std::nullopt;
  return CausalConvolution{*x, *weight, *bias};
}

bool fuse_convolution(Lowering& l, std::size_t index, bool silu) {
  if (l.op(index).outputs.size() != 1 || l.op(index).base_name() != (silu ? "silu" : "transpose"))
    return false;
  const ValueId result = l.op(index).outputs[0];
  const auto found = causal_convolution(l, silu ? l.op(index).tensor("self") : result);
  if (!found) return false;
  const std::string name = l.value(result).name;
  const ValueId weight = l.add_constant(name + ".kernel", found->weight.squeeze(1).t().contiguous()),
                bias = l.add_constant(name + ".bias", found->bias);
  Op& op = l.op(index);
  op.target = "pollard.packed_causal_conv1d.default";
  op.args = {{"input", found->x},
             {"weight", weight},
             {"bias", bias},
             {"activation", std::string(silu ? "silu" : "none")},
             {"backwards", false}};
  return true;
}

// Cells ---------------------------------------------------------------------------------------------------------

/// value = [x in blocks of four channels by a constant] + bias.
struct Projection {
  ValueId x;
  at::Tensor blocks;
  std::optional<at::Tensor> bias;
};

std::optional<Projection> projection_of(Lowering& l, std::optional<ValueId> value) {
  const auto bias = float_constant(l, argument_of(l, value, "add", "other"), 1);
  if (bias) value = argument_of(l, value, "add");
  const auto product = argument_of(l, value, "reshape");
  const Op* op = product ? l.made_by(*product, "einsum") : nullptr;
  const auto tensors = op ? op->tensors("tensors") : std::vector<ValueId>();
  const auto* equation = op && op->find("equation") ? op->find("equation")->as<std::string>() : nullptr;
  if (!equation || *equation != "bsgi,goi->bsgo" || tensors.size() != 2) return std::nullopt;
  const auto x = argument_of(l, tensors[0], "reshape");
  const auto blocks = float_constant(l, tensors[1], 3);
  if (!x || !blocks || blocks->size(1) != 4 || blocks->size(2) != 4 || !l.is_float(*x) ||
      l.value(*x).shape.size() != 3 || l.value(*x).shape != l.value(*value).shape)
    return std::nullopt;
  return Projection{*x, *blocks, bias};
}

/// [B, S, width] before it was split into heads.
std::optional<ValueId> joined_from(Lowering& l, std::optional<ValueId> heads) {
  const auto split = transposed_from(l, heads, 1, 2);
  const auto joined = argument_of(l, split, "reshape");
  return joined ? joined : argument_of(l, split, "view");
}

struct Gate {
  at::Tensor weight, bias;
};

/// A gate [B, heads, S] of what is read side by side.
std::optional<Gate> gate_of(Lowering& l, std::optional<ValueId> value, const std::vector<ValueId>& read) {
  const auto rows = transposed_from(l, value, 1, 2);
  const Op* linear = rows ? l.made_by(*rows, "linear") : nullptr;
  const auto all = linear ? linear->tensor("input") : std::nullopt;
  const Op* cat = all ? l.made_by(*all, "cat") : nullptr;
  const auto weight = cat ? float_constant(l, linear->tensor("weight"), 2) : std::nullopt;
  const auto bias = cat ? float_constant(l, linear->tensor("bias"), 1) : std::nullopt;
  const std::int64_t dim = cat ? cat->int_or("dim", 0) : 0;
  if (!weight || !bias || (dim != -1 && dim != 2) || cat->tensors("tensors") != read) return std::nullopt;
  return Gate{*weight, *bias};
}

struct Cell {
  ValueId c, x, z;
  MlstmCellWeights weights;
  double eps, norm_eps;
};

/// What goes into the mLSTM.
bool find_inputs(Lowering& l, const Op& mlstm, Cell& cell) {
  const auto scaled = mlstm.tensor("k");
  const Op* times = scaled ? l.made_by(*scaled, "mul") : nullptr;
  const auto scale = times ? number(*times, "other") : std::nullopt;
  const auto q = joined_from(l, mlstm.tensor("q")), k = joined_from(l, argument_of(l, scaled, "mul")),
             v = joined_from(l, mlstm.tensor("v"));
  const auto of_q = projection_of(l, q), of_k = projection_of(l, k), of_v = projection_of(l, v);
  if (!scale || !of_q || !of_k || !of_v || of_q->x != of_k->x) return false;
  const auto i = gate_of(l, mlstm.tensor("i"), {*q, *k, *v}), f = gate_of(l, mlstm.tensor("f"), {*q, *k, *v});
  const auto eps = number(mlstm, "eps");
  if (!i || !f || !eps || i->weight.sizes() != f->weight.sizes()) return false;
  cell.c = of_q->x;
  cell.x = of_v->x;
  cell.eps = *eps;
  cell.weights = {.q = of_q->blocks,
                  .k = of_k->blocks,
                  .v = of_v->blocks,
                  .q_bias = of_q->bias,
                  .k_bias = of_k->bias,
                  .v_bias = of_v->bias,
                  .scale = *scale,
                  .i = i->weight,
                  .f = f->weight,
                  .i_bias = i->bias,
                  .f_bias = f->bias,
                  .norm = cell.weights.norm,
                  .norm_bias = cell.weights.norm_bias,
                  .skip = cell.weights.skip};
  return true;
}

/// normed = heads after their norms, side by side, times a weight [+ bias]; returns the heads before.
std::optional<ValueId> find_norm(Lowering& l, std::optional<ValueId> normed, Cell& cell) {
  const bool biased = normed && l.made_by(*normed, "addcmul") != nullptr;
  const Op* op = normed ? l.made_by(*normed, biased ? "addcmul" : "mul") : nullptr;
  if (!op || (biased && number(*op, "value", 1) != 1.0)) return std::nullopt;
  const auto rows = op->tensor(biased ? "tensor1" : "self");
  const auto weight = float_constant(l, op->tensor(biased ? "tensor2" : "other"), 1),
             bias = biased ? float_constant(l, op->tensor("self"), 1) : std::nullopt;
  const auto heads = transposed_from(l, argument_of(l, rows, "reshape"), 1, 2);
  const Op* norm = heads ? l.made_by(*heads, "layer_norm") : nullptr;
  const auto before = norm ? norm->tensor("input") : std::nullopt;
  const auto shape = norm ? numbers(*norm, "normalized_shape", 1, 0) : std::nullopt;
  const auto eps = norm ? number(*norm, "eps", 1e-5) : std::nullopt;
  if (!before || !weight || biased != bias.has_value() || !eps || norm->tensor("weight") ||
      norm->tensor("bias") || !shape || l.value(*before).shape.size() != 4 ||
      l.value(*before).shape[3].hint != shape->at(0))
    return std::nullopt;
  cell.weights.norm = *weight;
  cell.weights.norm_bias = bias;
  cell.norm_eps = *eps;
  return before;
}

bool fits(const Lowering& l, const Op& op, const Cell& cell) {
  const auto& shape = l.value(cell.c).shape;
  const MlstmCellWeights& w = cell.weights;
  const std::int64_t width = 4 * w.q.size(0), heads = w.i.size(0);
  const bool widths = shape.size() == 3 && shape[2].hint == width && !shape[2].symbolic() &&
                      w.k.size(0) == w.q.size(0) && w.v.size(0) == w.q.size(0) && w.norm.size(0) == width &&
                      w.skip.size(0) == width && w.i.size(1) == 3 * width && heads > 0 && width % heads == 0;
  return widths && l.is_float(cell.z) && l.value(cell.x).shape == shape && l.value(cell.z).shape == shape &&
         l.value(op.outputs[0]).shape == shape;
}

/// (normed heads + skip c) silu(z).
std::optional<Cell> find_cell(Lowering& l, const Op& product) {
  if (product.base_name() != "mul" || product.outputs.size() != 1) return std::nullopt;
  const auto z = argument_of(l, product.tensor("other"), "silu");
  const auto sum = product.tensor("self");
  const Op* skipped = z && sum ? l.made_by(*sum, "addcmul") : nullptr;
  const auto skip = skipped ? float_constant(l, skipped->tensor("tensor1"), 1) : std::nullopt;
  if (!skip || number(*skipped, "value", 1) != 1.0) return std::nullopt;
  Cell cell{.c = {}, .x = {}, .z = *z, .weights = {}, .eps = 0, .norm_eps = 0};
  const auto heads = find_norm(l, skipped->tensor("self"), cell);
  const Op* mlstm = heads ? l.made_by(*heads, "mlstm") : nullptr;
  cell.weights.skip = *skip;
  if (!mlstm || mlstm->target != "pollard.mlstm.default" || !find_inputs(l, *mlstm, cell) ||
      skipped->tensor("tensor2") != cell.c)
    return std::nullopt;
  return fits(l, product, cell) ? std::optional(cell) : std::nullopt;
}

}  // namespace

std::size_t fuse_causal_convolutions(Lowering& l) {
  std::size_t places = 0;
  for (const bool silu : {true, false}) {
    places += at_every_op(l, [&](std::size_t i) { return fuse_convolution(l, i, silu); });
    l.settle();
  }
  return places;
}

std::size_t fuse_mlstm_cells(Lowering& l) {
  return at_every_op(l, [&](std::size_t index) {
    const auto cell = find_cell(l, l.op(index));
    if (!cell) return false;
    const std::string name = l.value(l.op(index).outputs[0]).name;
    const PackedMlstmCell packed = pack_mlstm_cell(cell->weights);
    const ValueId blocks = l.add_constant(name + ".blocks", packed.blocks),
                  gates = l.add_constant(name + ".gates", packed.gates),
                  ends = l.add_constant(name + ".ends", packed.ends);
    Op& op = l.op(index);
    op.target = "pollard.packed_mlstm_cell.default";
    op.args = {{"c", cell->c},      {"x", cell->x}, {"z", cell->z},     {"blocks", blocks},
               {"gates", gates},    {"ends", ends}, {"eps", cell->eps}, {"norm_eps", cell->norm_eps},
               {"backwards", false}};
    return true;
  });
}

}  // namespace pollard::kernels
