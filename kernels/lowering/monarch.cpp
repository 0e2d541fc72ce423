// SPDX-License-Identifier: Apache-2.0
// Products with Monarch matrices in one call, on factors packed once for a CPU: as `pollard compress --monarch` writes them
// (pruning/monarch.h), and as the rule "operators" does.
#include "kernels/lowering/monarch.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <string>
#include <vector>

#include "kernels/lowering/state.h"
#include "kernels/monarch.h"

namespace pollard::kernels {
namespace {

using graph::Op;
using graph::ValueId;

struct Monarch {
  ValueId x;
  at::Tensor first, second;
};

/// Both factors in single precision, input and result alike but for their last dimension.
std::optional<Monarch> monarch(const Lowering& l, ValueId x, const std::optional<at::Tensor>& first,
                               const std::optional<at::Tensor>& second, ValueId result) {
  const auto &in = l.value(x).shape, &out = l.value(result).shape;
  if (!first || !second || first->dim() != 3 || second->dim() != 3 || first->numel() == 0 ||
      second->numel() == 0 || !l.is_float(x) || in.empty() || in.size() != out.size() ||
      !std::equal(in.begin(), in.end() - 1, out.begin()))
    return std::nullopt;
  const bool fits = in.back().hint == first->size(0) * first->size(2) &&
                    first->size(0) * first->size(1) == second->size(0) * second->size(2) &&
                    out.back().hint == second->size(0) * second->size(1);
  return fits ? std::optional(Monarch{x, *first, *second}) : std::nullopt;
}

// With einsum ---------------------------------------------------------------------------------------------------

/// Whether `to` is `from` with its last dimension split in two.
bool splits_last(const Lowering& l, ValueId from, ValueId to) {
  const auto &a = l.value(from).shape, &b = l.value(to).shape;
  return a.size() > 1 && b.size() == a.size() + 1 && std::equal(a.begin(), a.end() - 1, b.begin()) &&
         !b.back().symbolic() && a.back().hint == b[b.size() - 2].hint * b.back().hint;
}

/// What one of these ops, which only change the shape, read.
std::optional<ValueId> before(Lowering& l, std::optional<ValueId> value, const char* own) {
  for (const char* base : {own, "reshape", "view"})
    if (const auto from = argument_of(l, value, base)) return from;
  return std::nullopt;
}

std::optional<ValueId> split_from(Lowering& l, std::optional<ValueId> value) {
  const auto from = before(l, value, "unflatten");
  return from && splits_last(l, *from, *value) ? from : std::nullopt;
}

std::optional<ValueId> joined_from(Lowering& l, std::optional<ValueId> value) {
  const auto from = before(l, value, "flatten");
  return from && splits_last(l, *value, *from) ? from : std::nullopt;
}

/// "abkp,kqp->abkq" is lead + "kp", "kqp", lead + "kq": for rows by blocks, `turned` for "abrl,lsr->absl".
bool is_product(const std::string& equation, bool turned) {
  const auto comma = equation.find(','), arrow = equation.find("->");
  if (comma == std::string::npos || arrow == std::string::npos || comma < 2 || arrow != comma + 4)
    return false;
  const std::string x = equation.substr(0, comma), blocks = equation.substr(comma + 1, 3),
                    out = equation.substr(arrow + 2), lead = x.substr(0, comma - 2);
  const char block = turned ? x[comma - 1] : x[comma - 2], in = turned ? x[comma - 2] : x[comma - 1];
  const std::string written = turned ? std::string{blocks[1], block} : std::string{block, blocks[1]};
  const std::string all = lead + block + in + blocks[1];
  const bool different = std::ranges::all_of(all, [&](char c) { return std::ranges::count(all, c) == 1; });
  return different && blocks[0] == block && blocks[2] == in && out == lead + written;
}

struct Product {
  ValueId x, blocks;
};

std::optional<Product> product_of(Lowering& l, std::optional<ValueId> value, bool turned) {
  const Op* op = value ? l.made_by(*value, "einsum") : nullptr;
  const auto* equation = op && op->find("equation") ? op->find("equation")->as<std::string>() : nullptr;
  const auto tensors = op ? op->tensors("tensors") : std::vector<ValueId>();
  if (!equation || tensors.size() != 2 || !is_product(*equation, turned)) return std::nullopt;
  return Product{tensors[0], tensors[1]};
}

std::optional<Monarch> find_einsums(Lowering& l, ValueId result) {
  const auto outer = product_of(l, joined_from(l, result), true);
  const auto middle = outer ? joined_from(l, split_from(l, outer->x)) : std::nullopt;
  const auto inner = product_of(l, middle, false);
  const auto x = inner ? split_from(l, inner->x) : std::nullopt;
  if (!x) return std::nullopt;
  return monarch(l, *x, l.float_constant(inner->blocks), l.float_constant(outer->blocks), result);
}

// With batched products -----------------------------------------------------------------------------------------

std::optional<ValueId> permuted_from(Lowering& l, std::optional<ValueId> value,
                                     const std::vector<std::int64_t>& dims) {
  const Op* op = value ? l.made_by(*value, "permute") : nullptr;
  return op && numbers(*op, "dims", dims.size(), -1) == dims ? op->tensor("self") : std::nullopt;
}

/// x [rows, n, in] by blocks [n, out, in], as [n, rows, out].
struct Batched {
  ValueId x;
  std::optional<at::Tensor> blocks;
};

std::optional<Batched> batched_of(Lowering& l, std::optional<ValueId> value) {
  const Op* op = value ? l.made_by(*value, "bmm") : nullptr;
  const auto x = op ? transposed_from(l, op->tensor("self"), 0, 1) : std::nullopt;
  if (!x) return std::nullopt;
  const ValueId right = *op->tensor("mat2");
  if (const auto turned = l.float_constant(right);
      turned && turned->dim() == 3)  // constants are turned already
    return Batched{*x, turned->transpose(1, 2)};
  const auto blocks = transposed_from(l, right, 1, 2);
  return Batched{*x, blocks ? l.float_constant(*blocks) : std::nullopt};
}

std::optional<Monarch> find_products(Lowering& l, ValueId result) {
  const auto outer = batched_of(l, permuted_from(l, argument_of(l, result, "reshape"), {1, 2, 0}));
  if (!outer) return std::nullopt;
  const auto between = permuted_from(l, outer->x, {0, 2, 1});  // [rows, r, l]
  const auto read = argument_of(l, between, "reshape");
  const auto inner = batched_of(l, permuted_from(l, read, {1, 0, 2}));
  const auto x = inner ? argument_of(l, inner->x, "reshape") : std::nullopt;
  if (!x || !inner->blocks || !outer->blocks) return std::nullopt;
  const auto &from = l.value(inner->x).shape, &to = l.value(*between).shape;
  const bool shapes = from.size() == 3 && from[1].hint == inner->blocks->size(0) && to.size() == 3 &&
                      to[1].hint == outer->blocks->size(2) && to[2].hint == outer->blocks->size(0);
  return shapes ? monarch(l, *x, inner->blocks, outer->blocks, result) : std::nullopt;
}

bool pack(Lowering& l, std::size_t index) {
  if (l.op(index).outputs.size() != 1) return false;
  const ValueId result = l.op(index).outputs[0];
  auto found = find_einsums(l, result);
  if (!found) found = find_products(l, result);
  if (!found) return false;
  const std::string name = l.value(result).name;
  const bool packed = l.options.device != at::kCUDA;  // kernels there read factors as they are
  const auto constant = [&](const char* part, const at::Tensor& factor) {
    return l.add_constant(name + part, packed ? pack_monarch_factor(factor) : factor.contiguous());
  };
  const ValueId first = constant(".first", found->first), second = constant(".second", found->second);
  Op& op = l.op(index);
  op.target = packed ? "pollard.packed_monarch.default" : "pollard.monarch.default";
  op.args = {{"input", found->x}, {"first", first}, {"second", second}};
  if (packed) op.args.insert(op.args.end(), {{"q", found->first.size(1)}, {"s", found->second.size(1)}});
  return true;
}

}  // namespace

std::size_t pack_monarchs(Lowering& l) {
  return at_every_op(l, [&](std::size_t i) { return pack(l, i); });
}

}  // namespace pollard::kernels
