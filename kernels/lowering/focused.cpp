// SPDX-License-Identifier: Apache-2.0
// Focused linear attention as the built-in networks write it in ATen's operators (models/layers/focused_attention.h) and
// as the rule "operators" does, in one call.
#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "kernels/lowering/state.h"

namespace pollard::kernels {
namespace {

using graph::Op;
using graph::ValueId;

/// The number in the op that makes `value`, if that op is a `base`.
std::optional<double> number_of(Lowering& l, std::optional<ValueId> value, std::string_view base,
                                std::string_view argument = "other") {
  const Op* op = value ? l.made_by(*value, base) : nullptr;
  return op ? number(*op, argument) : std::nullopt;
}

bool near(std::optional<double> got, double want) {
  return got && std::abs(*got - want) <= 1e-6 * std::abs(want);
}

/// The Euclidean length over the last dimension, kept: of what?
std::optional<ValueId> length_of(Lowering& l, std::optional<ValueId> value) {
  const Op* op = value ? l.made_by(*value, "linalg_vector_norm") : nullptr;
  const auto of = op ? op->tensor("self") : std::nullopt;
  if (!of || number(*op, "ord", 2) != 2.0 || !op->bool_or("keepdim", false)) return std::nullopt;
  const auto dims = numbers(*op, "dim", 1, 0);
  const auto rank = static_cast<std::int64_t>(l.value(*of).shape.size());
  return dims && dims->size() == 1 && (dims->front() + rank) % rank == rank - 1 ? of : std::nullopt;
}

/// x before its focusing map, and what it was multiplied with or divided by.
struct Focused {
  ValueId x, gain;
  bool divided;
  double factor;
};

std::optional<Focused> focused_from(Lowering& l, std::optional<ValueId> value) {
  const auto quotient = argument_of(l, value, "mul"), a = length_of(l, argument_of(l, value, "mul", "other"));
  const auto sharp = argument_of(l, quotient, "div");
  if (!a || !sharp || length_of(l, argument_of(l, quotient, "div", "other")) != sharp ||
      argument_of(l, sharp, "pow") != a)
    return std::nullopt;
  const auto factor = number_of(l, sharp, "pow", "exponent");
  const bool divided = l.made_by(*a, "div") != nullptr;
  const std::string_view base = divided ? "div" : "mul";
  const auto positive = argument_of(l, a, base), gain = argument_of(l, a, base, "other");
  const auto x = argument_of(l, argument_of(l, positive, "add"), "relu");
  if (!factor || *factor < 1 || *factor != std::floor(*factor) || !x || !gain ||
      !near(number_of(l, positive, "add"), 1e-6))
    return std::nullopt;
  return Focused{*x, *gain, divided, *factor};
}

/// One value, or two constants of the same content: the networks compute softplus(scale) once for q and once for k.
bool same(const Lowering& l, ValueId a, ValueId b) {
  if (a == b) return true;
  const auto x = l.float_constant(a), y = l.float_constant(b);
  return x && y && x->sizes() == y->sizes() && at::equal(*x, *y);
}

/// [B, N, heads d] before it was split into [B, heads, N, d].
std::optional<ValueId> joined_from(Lowering& l, std::optional<ValueId> value) {
  const auto split = transposed_from(l, value, 1, 2);
  auto joined = argument_of(l, split, "view");
  if (!joined) joined = argument_of(l, split, "reshape");
  if (!joined || l.value(*joined).shape.size() != 3) return std::nullopt;
  const auto &from = l.value(*joined).shape, &to = l.value(*split).shape;
  return to.size() == 4 && from[0] == to[0] && from[1] == to[1] ? joined : std::nullopt;
}

struct FocusedAttention {
  Focused q, k;
  ValueId v;
  std::int64_t heads;
};

/// q (k^T each) (v each) / (q mean(k)^T + 1e-6), with each^2 keys = 1.
std::optional<FocusedAttention> find_focused(Lowering& l, const Op& joined) {
  const auto quotient = transposed_from(l, joined.tensor("self"), 1, 2);
  const auto top = argument_of(l, quotient, "div"), bottom = argument_of(l, quotient, "div", "other");
  const auto total = argument_of(l, bottom, "add");
  const auto q = argument_of(l, top, "matmul"), mixed = argument_of(l, top, "matmul", "other");
  const auto mean = transposed_from(l, argument_of(l, total, "matmul", "other"), 2, 3);
  const auto k = argument_of(l, mean, "mean");
  const auto left = transposed_from(l, argument_of(l, mixed, "matmul"), 2, 3),
             right = argument_of(l, mixed, "matmul", "other");
  const auto v = joined_from(l, argument_of(l, right, "mul"));
  if (!q || !k || !v || argument_of(l, total, "matmul") != q || argument_of(l, left, "mul") != k ||
      !near(number_of(l, bottom, "add"), 1e-6))
    return std::nullopt;
  const graph::Size keys = l.value(*k).shape.at(2);
  const auto averaged = numbers(*l.made_by(*mean, "mean"), "dim", 1, 0);
  const double each = number_of(l, left, "mul").value_or(0) * number_of(l, right, "mul").value_or(0);
  if (keys.symbolic() || !averaged ||
      (*averaged != std::vector<std::int64_t>{2} && *averaged != std::vector<std::int64_t>{-2}) ||
      !near(each * static_cast<double>(keys.hint), 1))
    return std::nullopt;
  const auto fq = focused_from(l, joined_from(l, q)), fk = focused_from(l, joined_from(l, k));
  if (!fq || !fk || !same(l, fq->gain, fk->gain) || fq->divided != fk->divided || fq->factor != fk->factor)
    return std::nullopt;
  return FocusedAttention{*fq, *fk, *v, l.value(*q).shape.at(1).hint};
}

bool fits(const Lowering& l, const Op& op, const FocusedAttention& f) {
  const auto &q = l.value(f.q.x).shape, &k = l.value(f.k.x).shape, &v = l.value(f.v).shape;
  const auto &out = l.value(op.outputs[0]).shape, &gain = l.value(f.q.gain).shape;
  const bool numbers = std::ranges::all_of(std::array{f.q.x, f.k.x, f.v, f.q.gain},
                                           [&](ValueId id) { return l.is_float(id); });
  std::int64_t elements = 1;
  for (const graph::Size& size : gain) elements *= size.hint;
  return numbers && q.size() == 3 && k.size() == 3 && v.size() == 3 && q[0] == k[0] && q[2] == k[2] &&
         v[0] == k[0] && v[1] == k[1] && !gain.empty() && gain.back() == q[2] && elements == q[2].hint &&
         out == std::vector{q[0], q[1], v[2]};
}

bool fuse(Lowering& l, Op& op) {
  if (op.target != "aten.reshape.default") return false;
  const auto found = find_focused(l, op);
  if (!found || !fits(l, op, *found)) return false;
  ValueId gain = found->q.gain;
  if (found->q.divided) {
    const auto scale = l.float_constant(gain);
    if (!scale || scale->eq(0).any().item<bool>()) return false;
    gain = l.add_constant(l.value(op.outputs[0]).name + ".gain", scale->reciprocal());
  }
  op.target = "pollard.focused_linear_attention.default";
  op.args = {{"q", found->q.x},       {"k", found->k.x},
             {"v", found->v},         {"gain", gain},
             {"heads", found->heads}, {"factor", static_cast<std::int64_t>(found->q.factor)}};
  return true;
}

}  // namespace

std::size_t fuse_focused_attention(Lowering& l) {
  return at_every_op(l, [&](std::size_t i) { return fuse(l, l.op(i)); });
}

}  // namespace pollard::kernels
