// SPDX-License-Identifier: Apache-2.0
// The mLSTM's parallel form as the built-in networks write it in ATen's operators (models/layers/mlstm.h), in one call.
#include "kernels/lowering/state.h"

namespace pollard::kernels {
namespace {

using graph::Op;
using graph::ValueId;

/// decay = cumsum(log_sigmoid(f)), g = i - decay, top = cummax(g).
struct Gates {
  ValueId i, f, decay, g, top;
};

std::optional<Gates> gates_of(Lowering& l, std::optional<ValueId> top) {
  const auto g = argument_of(l, top, "cummax");
  const auto i = argument_of(l, g, "sub"), decay = argument_of(l, g, "sub", "other");
  const auto f = argument_of(l, argument_of(l, decay, "cumsum"), "log_sigmoid");
  if (!i || !f) return std::nullopt;
  return Gates{*i, *f, *decay, *g, *top};
}

struct Mlstm {
  ValueId q, k, v;
  Gates gates;
  double eps;
};

/// value / (max(|sum|, exp(-(decay + top))) + eps) with scores = q k^T tril(exp(min(g - top, 0))).
std::optional<Mlstm> find_mlstm(Lowering& l, const Op& quotient) {
  const auto value = quotient.tensor("self"), bottom = quotient.tensor("other");
  const Op* plus = bottom ? l.made_by(*bottom, "add") : nullptr;
  const auto eps = plus ? number(*plus, "other") : std::nullopt;
  const auto largest = argument_of(l, bottom, "add");
  const auto total = argument_of(l, argument_of(l, largest, "maximum"), "abs");
  const auto scores = argument_of(l, total, "sum");
  const auto log_scale = argument_of(
      l, argument_of(l, argument_of(l, argument_of(l, largest, "maximum", "other"), "exp"), "neg"),
      "unsqueeze");
  const auto gates = gates_of(l, argument_of(l, log_scale, "add", "other"));
  if (!eps || !gates || argument_of(l, log_scale, "add") != gates->decay) return std::nullopt;
  const auto product = argument_of(l, scores, "mul"), weights = argument_of(l, scores, "mul", "other");
  const auto distance = argument_of(l, argument_of(l, argument_of(l, weights, "tril"), "exp"), "clamp_max");
  const auto q = argument_of(l, product, "matmul"),
             k = argument_of(l, argument_of(l, product, "matmul", "other"), "transpose"),
             v = argument_of(l, value, "matmul", "other");
  const bool same_gates = argument_of(l, argument_of(l, distance, "sub"), "unsqueeze") == gates->g &&
                          argument_of(l, argument_of(l, distance, "sub", "other"), "unsqueeze") == gates->top;
  if (!q || !k || !v || !same_gates || argument_of(l, value, "matmul") != scores) return std::nullopt;
  return Mlstm{*q, *k, *v, *gates, *eps};
}

bool fits(const Lowering& l, const Mlstm& m) {
  for (ValueId id : {m.q, m.k, m.v, m.gates.i, m.gates.f})
    if (!l.is_float(id)) return false;
  return l.value(m.q).shape.size() == 4 && l.value(m.k).shape == l.value(m.q).shape &&
         l.value(m.gates.i).shape.size() == 3 && l.value(m.gates.f).shape == l.value(m.gates.i).shape;
}

}  // namespace

std::size_t fuse_mlstms(Lowering& l) {
  std::size_t places = 0;
  for (std::size_t i = 0; i < l.program.ops.size(); ++i) {
    Op& op = l.op(i);
    const auto found = op.target == "aten.div.Tensor" ? find_mlstm(l, op) : std::nullopt;
    if (!found || !fits(l, *found)) continue;
    op.target = "pollard.mlstm.default";
    op.args = {{"q", found->q},       {"k", found->k},       {"v", found->v},
               {"i", found->gates.i}, {"f", found->gates.f}, {"eps", found->eps}};
    ++places;
  }
  return places;
}

}  // namespace pollard::kernels
