// SPDX-License-Identifier: Apache-2.0
// LSTM and GRU layers that begin at zero and whose last states nobody reads, and maps read along columns and rows (BiLSTM2D).
#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <span>

#include "kernels/cuda_operators.h"
#include "kernels/lowering/state.h"
#include "kernels/recurrent/layer.h"

namespace pollard::kernels {
namespace {

using graph::Arg;
using graph::Op;
using graph::ValueId;

bool is_zero(Lowering& l, ValueId id) {
  if (const auto tensor = l.constant(id))
    return tensor->layout() == at::kStrided && tensor->count_nonzero().item<std::int64_t>() == 0;
  for (const char* base : {"zeros", "new_zeros", "zeros_like"})
    if (l.made_by(id, base)) return true;
  const Op* full = l.made_by(id, "full");
  return full && number(*full, "fill_value") == 0.0;
}

bool unread(const Lowering& l, ValueId id) { return l.uses().readers(id).empty() && !l.uses().is_output(id); }

/// The weights of all directions of all layers, in the order of the op and the type they are packed in; empty when they are not
/// plain.
std::vector<Direction> directions_of(const Lowering& l, const Op& op, std::size_t count) {
  const std::vector<ValueId> ids = op.tensors("params");
  const std::size_t per = op.bool_or("has_biases", true) ? 4 : 2;
  if (ids.size() != count * per) return {};
  std::vector<at::Tensor> tensors;
  for (ValueId id : ids) {
    const auto tensor = l.float_constant(id);
    if (!tensor) return {};
    tensors.push_back(tensor->to(l.options.type));
  }
  std::vector<Direction> out;
  for (std::size_t k = 0; k < count; ++k) {
    const auto* t = &tensors[k * per];
    out.push_back({t[0], t[1], per == 4 ? t[2] : at::Tensor(), per == 4 ? t[3] : at::Tensor()});
  }
  return out;
}

bool takes_place(Lowering& l, const Op& op) {
  const auto input = op.tensor("input");
  if (!input || !l.is_float(*input) || l.value(*input).shape.size() != 3) return false;
  const auto states = op.tensors("hx");
  return std::ranges::all_of(states, [&](ValueId id) { return is_zero(l, id); }) &&
         std::all_of(op.outputs.begin() + 1, op.outputs.end(), [&](ValueId id) { return unread(l, id); });
}

/// What the layers of one kind are called, in ATen and packed.
struct Kind {
  Cell cell;
  std::string_view aten, packed, packed_map;  ///< base names
};
constexpr std::array<Kind, 2> kKinds{{{Cell::Lstm, "lstm", "packed_lstm", "packed_lstm_map"},
                                      {Cell::Gru, "gru", "packed_gru", "packed_gru_map"}}};

std::string own_target(std::string_view name) { return "pollard." + std::string(name) + ".default"; }

/// On a CUDA device wider layers stay LibTorch's: their weights would come from L2 in every step.
bool suits_device(const Lowering& l, const std::vector<Direction>& directions) {
  return l.options.device != at::kCUDA || std::ranges::all_of(directions, [](const Direction& d) {
           return d.weight_hh.size(1) <= cuda::kResidentUnits;
         });
}

/// The calls that replace a (stacked) layer, one each; empty when it must stay.
std::vector<Op> packed_calls(Lowering& l, const Op& op, const Kind& kind) {
  const auto layers = static_cast<std::size_t>(op.int_or("num_layers", 1));
  const std::size_t per_layer = op.bool_or("bidirectional", false) ? 2 : 1;
  if (op.target != "aten." + std::string(kind.aten) + ".input" || !takes_place(l, op)) return {};
  const auto directions = directions_of(l, op, layers * per_layer);
  if (!suits_device(l, directions)) return {};
  std::vector<Op> calls;
  ValueId input = *op.tensor("input");
  for (std::size_t k = 0; k < layers && !directions.empty(); ++k) {
    const auto own = std::span(directions).subspan(k * per_layer, per_layer);
    const std::int64_t hidden = own[0].weight_hh.size(1);
    const std::string name = l.value(op.outputs[0]).name;
    ValueId output = op.outputs[0];
    if (k + 1 < layers) {
      graph::Value between = l.value(output);
      between.name = name + "_layer" + std::to_string(k);
      output = l.program.add(std::move(between));
    }
    calls.push_back(
        {.target = own_target(kind.packed),
         .args = {{"input", input},
                  {"weight", l.add_constant(name + ".packed", pack_layer(kind.cell, own, l.options.device))},
                  {"hidden", hidden},
                  {"dim", std::int64_t{op.bool_or("batch_first", false) ? 1 : 0}}},
         .outputs = {output},
         .name = op.name + "_layer" + std::to_string(k),
         .module = op.module});
    input = output;
  }
  return calls;
}

// Maps ---------------------------------------------------------------------------------------------------------

bool moves_only(const Op& op) {
  static constexpr std::array<std::string_view, 9> kShapeOps{"view",      "reshape",    "transpose",
                                                             "permute",   "contiguous", "flatten",
                                                             "unflatten", "squeeze",    "unsqueeze"};
  return op.target.starts_with("aten.") && op.outputs.size() == 1 &&
         std::ranges::find(kShapeOps, op.base_name()) != kShapeOps.end();
}

/// The ops of a chain that only moves elements, run on `tensor`: where does each element go?
at::Tensor moved(const Lowering& l, const std::vector<std::size_t>& chain, ValueId from,
                 const at::Tensor& tensor) {
  graph::Program program;
  program.values = l.program.values;
  program.inputs.push_back({.value = from});
  for (std::size_t i : chain) {
    program.ops.push_back(l.program.ops[i]);
    // Symbolic sizes have their example's values: that is what the moves are compared at.
    for (graph::NamedArg& named : program.ops.back().args) {
      const auto settle = [&](Arg& arg) {
        if (const auto* id = arg.as<ValueId>(); id && l.value(*id).kind == graph::Value::Kind::Int)
          arg = l.value(*id).scalar.hint;
      };
      settle(named.arg);
      if (auto* list = named.arg.as<Arg::List>()) std::ranges::for_each(*list, settle);
    }
  }
  const ValueId to = chain.empty() ? from : l.program.ops[chain.back()].outputs[0];
  program.outputs.push_back({.value = to});
  return Executor(std::move(program)).run({}, {tensor}).at(0);
}

at::Tensor numbered(const std::vector<std::int64_t>& shape) {
  std::int64_t count = 1;
  for (std::int64_t size : shape) count *= size;
  return at::arange(count).view(shape);
}

/// Walks from `value` over ops that only move elements, towards the inputs.
ValueId walk_back(const Lowering& l, ValueId value, std::vector<std::size_t>& chain) {
  for (auto maker = l.uses().maker(value); maker && moves_only(l.program.ops[*maker]);
       maker = l.uses().maker(value)) {
    chain.insert(chain.begin(), *maker);
    value = *l.program.ops[*maker].args[0].arg.as<ValueId>();
  }
  return value;
}

/// A map [B, H, W, C] read along one of its dimensions.
struct MapScan {
  ValueId map;
  std::int64_t dim;
  const Op* layer;
};

/// A packed layer between two chains that only move elements.
struct Chains {
  const Op* layer;
  ValueId result;  ///< of the layer
  std::vector<std::size_t> before, after;
};

/// Whether the chains read `map` along `dim` and write `value` in the map's form. [B, H, W, C] with the dimension that is
/// read moved to the third place is [sequences, steps, C].
bool reads_along(const Lowering& l, const Chains& c, ValueId map, ValueId value, std::int64_t dim) {
  const std::vector<std::int64_t> in = l.value(map).sizes(), out = l.value(value).sizes();
  if (in.size() != 4 || out.size() != 4 || !std::equal(in.begin(), in.end() - 1, out.begin())) return false;
  const auto as_sequences = [&](const at::Tensor& t) {
    const at::Tensor s = t.movedim(dim, 2).flatten(0, 1);
    return c.layer->int_or("dim", 1) == 1 ? s : s.transpose(0, 1);
  };
  const at::Tensor wanted = as_sequences(numbered(in)), seen = moved(l, c.before, map, numbered(in));
  if (wanted.sizes() != seen.sizes() || !at::equal(wanted, seen)) return false;
  const at::Tensor results = as_sequences(numbered(out));
  return results.sizes() == at::IntArrayRef(l.value(c.result).sizes()) &&
         at::equal(moved(l, c.after, c.result, results.contiguous()), numbered(out));
}

/// What the value is, if it is the result of a packed layer that read a map along its columns or rows.
std::optional<MapScan> as_map_scan(Lowering& l, ValueId value, const Kind& kind) {
  Chains c{};
  c.result = walk_back(l, value, c.after);
  c.layer = l.made_by(c.result, kind.packed);
  if (!c.layer) return std::nullopt;
  std::vector<std::size_t> moves;
  const ValueId origin = walk_back(l, *c.layer->tensor("input"), moves);
  for (std::size_t k = moves.size() + 1; k-- > 0;) {  // the nearest ancestor that fits
    const ValueId map = k == 0 ? origin : l.program.ops[moves[k - 1]].outputs[0];
    c.before.assign(moves.begin() + static_cast<std::ptrdiff_t>(k), moves.end());
    for (std::int64_t dim : {1, 2})
      if (reads_along(l, c, map, value, dim)) return MapScan{map, dim, c.layer};
  }
  return std::nullopt;
}

std::size_t pack_layers(Lowering& l, const Kind& kind) {
  std::size_t places = 0;
  std::vector<Op> ops;
  for (const Op& op : l.program.ops) {
    std::vector<Op> calls = packed_calls(l, op, kind);
    places += calls.empty() ? 0 : 1;
    if (calls.empty()) calls.push_back(op);
    std::ranges::move(calls, std::back_inserter(ops));
  }
  l.program.ops = std::move(ops);
  return places;
}

/// Two layers of one kind whose results are joined, into one call.
bool scan_map(Lowering& l, Op& op, const Kind& kind) {
  const auto parts = op.base_name() == "cat" ? op.tensors("tensors") : std::vector<ValueId>{};
  const std::int64_t dim = op.int_or("dim", 0);
  if (parts.size() != 2 || (dim != -1 && dim != 3)) return false;
  const auto columns = as_map_scan(l, parts[0], kind), rows = as_map_scan(l, parts[1], kind);
  if (!columns || !rows || !(columns->map == rows->map) || columns->dim != 1 || rows->dim != 2) return false;
  op.target = own_target(kind.packed_map);
  op.args = {{"input", columns->map},
             {"columns", *columns->layer->tensor("weight")},
             {"rows", *rows->layer->tensor("weight")},
             {"hidden_columns", columns->layer->int_or("hidden", 0)},
             {"hidden_rows", rows->layer->int_or("hidden", 0)}};
  return true;
}

}  // namespace

std::size_t pack_lstms(Lowering& l) { return pack_layers(l, kKinds[0]); }
std::size_t pack_grus(Lowering& l) { return pack_layers(l, kKinds[1]); }

std::size_t scan_maps(Lowering& l) {
  return at_every_op(l, [&](std::size_t i) {
    return std::ranges::any_of(kKinds, [&](const Kind& kind) { return scan_map(l, l.op(i), kind); });
  });
}

}  // namespace pollard::kernels
