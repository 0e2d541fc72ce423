// SPDX-License-Identifier: Apache-2.0
// aten::scaled_dot_product_attention in pollard's own kernel (kernels/attention/masked_attention.h), all heads open.
#include "kernels/lowering/attention.h"

#include "kernels/lowering/state.h"

namespace pollard::kernels {
namespace {

using graph::Arg;
using graph::Op;

/// A mask that the operator takes: added in single precision, or of what may be seen.
bool fits_mask(const Lowering& l, const Op& op) {
  const auto mask = op.tensor("attn_mask");
  if (!mask) return true;
  const graph::Value& value = l.value(*mask);
  return value.shape.size() >= 2 && value.kind == graph::Value::Kind::Tensor &&
         (l.is_float(*mask) || value.dtype == graph::DType::Bool);
}

/// [B, heads, ., .] with as many keys as values and heads of one width; in single precision.
bool fits(const Lowering& l, const Op& op) {
  const auto q = op.tensor("query"), k = op.tensor("key"), v = op.tensor("value");
  if (!q || !k || !v || !l.is_float(*q) || !l.is_float(*k) || !l.is_float(*v)) return false;
  const auto &a = l.value(*q).shape, &b = l.value(*k).shape, &c = l.value(*v).shape;
  const bool heads = a.size() == 4 && b.size() == 4 && c.size() == 4 && a[0] == b[0] && a[1] == b[1] &&
                     b[0] == c[0] && b[1] == c[1] && b[2] == c[2] && a[3] == b[3];
  const Arg* scale = op.find("scale");
  return heads && (!scale || scale->is_none() || number(op, "scale")) && number(op, "dropout_p", 0) == 0.0 &&
         fits_mask(l, op);
}

bool fuse(Lowering& l, Op& op) {
  if (op.target != "aten.scaled_dot_product_attention.default" || !fits(l, op)) return false;
  const auto given = [&](const char* name, Arg otherwise) {
    const Arg* arg = op.find(name);
    return arg ? *arg : otherwise;
  };
  const Arg mask = given("attn_mask", Arg()), causal = given("is_causal", false),
            scale = given("scale", Arg());
  op.args = {{"query", *op.tensor("query")},
             {"key", *op.tensor("key")},
             {"value", *op.tensor("value")},
             {"gate", Arg()},
             {"attn_mask", mask},
             {"is_causal", causal},
             {"scale", scale}};
  op.target = "pollard.masked_attention.default";
  return true;
}

}  // namespace

std::size_t fuse_attention(Lowering& l) {
  return at_every_op(l, [&](std::size_t i) { return fuse(l, l.op(i)); });
}

}  // namespace pollard::kernels
