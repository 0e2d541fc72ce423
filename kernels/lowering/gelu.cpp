// SPDX-License-Identifier: Apache-2.0
// GELU (Hendrycks and Gimpel, 2016, arXiv 1606.08415) as exporters write it out:
//   exact:  x / 2 (1 + erf(x / sqrt(2)))
//   tanh:   x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))
#include <cmath>
#include <numbers>

#include "kernels/lowering/state.h"

namespace pollard::kernels {
namespace {

using graph::Op;
using graph::ValueId;

bool near(std::optional<double> a, double b) { return a && std::fabs(*a - b) <= 1e-6 * std::fabs(b); }

/// The operand of a product or quotient with a number, if its factor is `factor`.
std::optional<ValueId> scaled(Lowering& l, ValueId product, double factor) {
  if (const Op* op = l.made_by(product, "mul"))
    return near(number(*op, "other"), factor) ? op->tensor("self") : std::nullopt;
  if (const Op* op = l.made_by(product, "div"))
    return near(number(*op, "other"), 1 / factor) && !op->find("rounding_mode") ? op->tensor("self")
                                                                                : std::nullopt;
  return std::nullopt;
}

bool plain_sum(const Op& op) { return near(number(op, "alpha", 1), 1); }

/// u of 1 + u.
std::optional<ValueId> beyond_one(Lowering& l, ValueId sum) {
  const Op* op = l.made_by(sum, "add");
  return op && plain_sum(*op) && near(number(*op, "other"), 1) ? op->tensor("self") : std::nullopt;
}

bool is_cube(Lowering& l, ValueId cube, ValueId x) {
  if (const Op* op = l.made_by(cube, "pow"))
    return near(number(*op, "exponent"), 3) && op->tensor("self") == x;
  const Op* outer = l.made_by(cube, "mul");
  if (!outer) return false;
  for (const char* argument : {"self", "other"}) {
    const auto square = outer->tensor(argument);
    const Op* inner = square ? l.made_by(*square, "mul") : nullptr;
    const auto rest = outer->tensor(argument[0] == 's' ? "other" : "self");
    if (inner && rest == x && inner->tensor("self") == x && inner->tensor("other") == x) return true;
  }
  return false;
}

/// x of sqrt(2 / pi) (x + 0.044715 x^3).
bool is_tanh_argument(Lowering& l, ValueId v, ValueId x) {
  const auto sum = scaled(l, v, std::sqrt(2 / std::numbers::pi));
  const Op* add = sum ? l.made_by(*sum, "add") : nullptr;
  if (!add || !plain_sum(*add)) return false;
  const auto a = add->tensor("self"), b = add->tensor("other");
  if (!a || !b) return false;
  const auto cube = scaled(l, *a == x ? *b : *a, 0.044715);
  return (*a == x || *b == x) && cube && is_cube(l, *cube, x);
}

/// "none" or "tanh" when `v` is 1 + erf(..) or 1 + tanh(..) of GELU's argument of x.
const char* curve(Lowering& l, ValueId v, ValueId x) {
  const auto u = beyond_one(l, v);
  if (!u) return nullptr;
  if (const Op* op = l.made_by(*u, "erf"))
    return scaled(l, *op->tensor("self"), std::numbers::sqrt2 / 2) == x ? "none" : nullptr;
  if (const Op* op = l.made_by(*u, "tanh"))
    return is_tanh_argument(l, *op->tensor("self"), x) ? "tanh" : nullptr;
  return nullptr;
}

struct Gelu {
  ValueId x;
  const char* approximate;
};

/// (x / 2) c or (x c) / 2, in any order of factors.
std::optional<Gelu> find_gelu(Lowering& l, const Op& product) {
  const auto a = product.tensor("self"), b = product.tensor("other");
  if (a && b) {
    for (const auto& [half, rest] : {std::pair(*a, *b), std::pair(*b, *a)})
      if (const auto x = scaled(l, half, 0.5))
        if (const char* approximate = curve(l, rest, *x)) return Gelu{*x, approximate};
    return std::nullopt;
  }
  const Op* inner = a && near(number(product, "other"), 0.5) ? l.made_by(*a, "mul") : nullptr;
  if (!inner || !inner->tensor("self") || !inner->tensor("other")) return std::nullopt;
  const ValueId c = *inner->tensor("self"), d = *inner->tensor("other");
  for (const auto& [x, rest] : {std::pair(c, d), std::pair(d, c)})
    if (const char* approximate = curve(l, rest, x)) return Gelu{x, approximate};
  return std::nullopt;
}

}  // namespace

std::size_t recognise_gelu(Lowering& l) {
  return at_every_op(l, [&](std::size_t i) {
    Op& op = l.op(i);
    const auto found = op.target == "aten.mul.Tensor" ? find_gelu(l, op) : std::nullopt;
    if (!found) return false;
    op.target = "aten.gelu.default";
    op.args = {{"self", found->x}, {"approximate", std::string(found->approximate)}};
    return true;
  });
}

}  // namespace pollard::kernels
