// SPDX-License-Identifier: Apache-2.0
// The mLSTM's parallel form and its chunks as the built-in networks write them in ATen's operators (models/layers/mlstm.h), in
// one call.
#include <algorithm>
#include <utility>

#include "kernels/lowering/state.h"

namespace pollard::kernels {
namespace {

using graph::Op;
using graph::ValueId;

// Ops with the numbers they have here ------------------------------------------------------------------------------

/// What an op along dimension `dim`, counted from the back (-1), read.
std::optional<ValueId> along(Lowering& l, std::optional<ValueId> value, std::string_view base,
                             std::int64_t dim) {
  const Op* op = value ? l.made_by(*value, base) : nullptr;
  const auto from = op && op->outputs[0] == *value ? op->tensor("self") : std::nullopt;
  const auto given = from ? numbers(*op, "dim", 1, 0) : std::nullopt;
  if (!given) return std::nullopt;
  const auto rank = static_cast<std::int64_t>(l.value(base == "squeeze" ? *from : *value).shape.size());
  return given->at(0) == dim || given->at(0) == dim + rank ? from : std::nullopt;
}

/// What an op read whose `argument` is this number.
std::optional<ValueId> with_number(Lowering& l, std::optional<ValueId> value, std::string_view base,
                                   std::string_view argument, double wanted,
                                   std::optional<double> fallback = {}) {
  const Op* op = value ? l.made_by(*value, base) : nullptr;
  return op && number(*op, argument, fallback) == wanted ? op->tensor("self") : std::nullopt;
}

struct Pair {
  ValueId a, b;
};

/// Both operands of a sum, difference, product ..
std::optional<Pair> operands(Lowering& l, std::optional<ValueId> value, std::string_view base) {
  const Op* op = value ? l.made_by(*value, base) : nullptr;
  const auto a = op ? op->tensor("self") : std::nullopt, b = op ? op->tensor("other") : std::nullopt;
  if (!a || !b || number(*op, "alpha", 1) != 1.0) return std::nullopt;
  return Pair{*a, *b};
}

/// The sum of each row, which stays a column.
std::optional<ValueId> rows_summed(Lowering& l, ValueId value) {
  const auto rows = along(l, value, "sum", -1);
  return rows && l.made_by(value, "sum")->bool_or("keepdim", false) ? rows : std::nullopt;
}

/// What positions from `first` up to `end` along dimension 2 were cut from.
std::optional<ValueId> cut_from(Lowering& l, ValueId value, std::int64_t first, std::int64_t end) {
  const auto whole = along(l, value, "slice", 2 - static_cast<std::int64_t>(l.value(value).shape.size()));
  if (!whole) return std::nullopt;
  const Op& slice = *l.made_by(value, "slice");
  const auto size = static_cast<double>(l.value(*whole).shape[2].hint);
  const auto to = number(slice, "end", size);
  const bool these = number(slice, "start", 0) == static_cast<double>(first) &&
                     number(slice, "step", 1) == 1.0 && to && std::min(*to, size) == static_cast<double>(end);
  return these ? whole : std::nullopt;
}

/// value = the last position of what is returned, as [B, heads, 1, 1].
std::optional<ValueId> last_of(Lowering& l, std::optional<ValueId> value) {
  const auto last = along(l, value, "unsqueeze", -1);
  const auto whole = along(l, last, "slice", -1);
  if (!whole) return std::nullopt;
  const std::int64_t size = l.value(*whole).shape.back().hint;
  return cut_from(l, *last, size - 1, size);
}

// What a run of positions computes ---------------------------------------------------------------------------------

/// What is known of the positions before: C = sum of k v^T, n = sum of k, both divided by e^m.
struct State {
  ValueId C, n, m;
};

/// decay = cumsum(log_sigmoid(f)), g = i - decay, top = cummax(g), or the larger of that and of the state's m.
struct Gates {
  ValueId i, f, decay, g, top;
  std::optional<ValueId> m;
};

std::optional<Gates> gates_of(Lowering& l, std::optional<ValueId> top) {
  const auto both = operands(l, top, "maximum");
  const auto m = both ? along(l, both->b, "squeeze", -1) : std::nullopt;
  const auto g = along(l, both ? both->a : top, "cummax", -1);
  const auto difference = operands(l, g, "sub");
  const auto f = argument_of(
      l, along(l, difference ? std::optional(difference->b) : std::nullopt, "cumsum", -1), "log_sigmoid");
  if (!f || both.has_value() != m.has_value()) return std::nullopt;
  return Gates{difference->a, *f, difference->b, *g, *top, m};
}

struct Mlstm {
  ValueId q, k, v;
  Gates gates;
  double eps;
  std::optional<State> state;  ///< what it starts from, if not from nothing
};

/// scores = q k^T tril(exp(min(g - top, 0))); returns q and k.
std::optional<Pair> read_by(Lowering& l, ValueId scores, const Gates& gates) {
  const auto factors = operands(l, scores, "mul");
  if (!factors) return std::nullopt;
  const auto exponent = argument_of(l, with_number(l, factors->b, "tril", "diagonal", 0, 0), "exp");
  const auto distance = operands(l, with_number(l, exponent, "clamp_max", "max", 0), "sub");
  const auto product = operands(l, factors->a, "matmul");
  if (!distance || !product || along(l, distance->a, "unsqueeze", -2) != gates.g ||
      along(l, distance->b, "unsqueeze", -1) != gates.top)
    return std::nullopt;
  const auto k = transposed_from(l, product->b, 2, 3);
  return k ? std::optional(Pair{product->a, *k}) : std::nullopt;
}

/// value = own + q from exp(m - top); takes `from` and returns `own`.
std::optional<ValueId> without_state(Lowering& l, ValueId value, ValueId q, const Gates& gates,
                                     ValueId& from) {
  const auto sum = operands(l, value, "add");
  const auto faded = sum ? operands(l, sum->b, "mul") : std::nullopt;
  const auto read = faded ? operands(l, faded->a, "matmul") : std::nullopt;
  const auto distance = faded ? operands(l, argument_of(l, faded->b, "exp"), "sub") : std::nullopt;
  if (!read || !distance || read->a != q || distance->a != gates.m ||
      along(l, distance->b, "unsqueeze", -1) != gates.top)
    return std::nullopt;
  from = read->b;
  return sum->a;
}

/// value = scores v [+ q C faded], total = sum of the scores [+ q n faded].
std::optional<Mlstm> find_products(Lowering& l, ValueId value, ValueId total, const Gates& gates,
                                   double eps) {
  Mlstm m{.q = {}, .k = {}, .v = {}, .gates = gates, .eps = eps, .state = {}};
  if (gates.m) {
    // q is known only behind the scores: the state's products are compared with it below.
    const auto faded = operands(l, value, "add");
    const auto read = faded ? operands(l, argument_of(l, faded->b, "mul"), "matmul") : std::nullopt;
    if (!read) return std::nullopt;
    State state{.C = {}, .n = {}, .m = *gates.m};
    const auto own_value = without_state(l, value, read->a, gates, state.C),
               own_total = without_state(l, total, read->a, gates, state.n);
    if (!own_value || !own_total) return std::nullopt;
    m.q = read->a;
    m.state = state;
    value = *own_value;
    total = *own_total;
  }
  const auto product = operands(l, value, "matmul");
  const auto scores = rows_summed(l, total);
  const auto read = product && scores == product->a ? read_by(l, *scores, gates) : std::nullopt;
  if (!read || (m.state && m.q != read->a)) return std::nullopt;
  m.q = read->a;
  m.k = read->b;
  m.v = product->b;
  return m;
}

/// value / (max(|sum|, exp(-(decay + top))) + eps).
std::optional<Mlstm> find_mlstm(Lowering& l, const Op& quotient) {
  const auto value = quotient.tensor("self"), bottom = quotient.tensor("other");
  const Op* plus = bottom ? l.made_by(*bottom, "add") : nullptr;
  const auto eps = plus ? number(*plus, "other") : std::nullopt;
  const auto sizes = operands(l, argument_of(l, bottom, "add"), "maximum");
  if (!value || !eps || !sizes || number(*plus, "alpha", 1) != 1.0) return std::nullopt;
  const auto total = argument_of(l, sizes->a, "abs");
  const auto log_scale =
      operands(l, along(l, argument_of(l, argument_of(l, sizes->b, "exp"), "neg"), "unsqueeze", -1), "add");
  const auto gates = log_scale ? gates_of(l, log_scale->b) : std::nullopt;
  if (!total || !gates || log_scale->a != gates->decay) return std::nullopt;
  return find_products(l, *value, *total, *gates, *eps);
}

// Chunks -----------------------------------------------------------------------------------------------------------

/// value = own [+ before exp(m - the chunk's last top)]; returns `own`.
std::optional<ValueId> without_faded(Lowering& l, ValueId value, const Mlstm& chunk, ValueId State::*before) {
  if (!chunk.state) return value;
  const auto sum = operands(l, value, "add");
  const auto faded = sum ? operands(l, sum->b, "mul") : std::nullopt;
  const auto distance = faded ? operands(l, argument_of(l, faded->b, "exp"), "sub") : std::nullopt;
  const bool fades = distance && faded->a == *chunk.state.*before && distance->a == chunk.state->m &&
                     last_of(l, distance->b) == chunk.gates.top;
  return fades ? std::optional(sum->a) : std::nullopt;
}

/// Whether a chunk leaves this state: C = weighted^T v, n = sum of weighted with weighted = k exp(g - last top), what was before
/// faded and added, and m = last decay + last top.
bool leaves(Lowering& l, const Mlstm& chunk, const State& state) {
  const auto C = without_faded(l, state.C, chunk, &State::C), n = without_faded(l, state.n, chunk, &State::n);
  const auto m = operands(l, state.m, "add");
  const auto product = C ? operands(l, *C, "matmul") : std::nullopt;
  if (!n || !m || !product || product->b != chunk.v || rows_summed(l, *n) != product->a) return false;
  const auto weighted = operands(l, transposed_from(l, product->a, 2, 3), "mul");
  const auto distance = weighted ? operands(l, argument_of(l, weighted->b, "exp"), "sub") : std::nullopt;
  return distance && weighted->a == chunk.k && along(l, distance->a, "unsqueeze", -1) == chunk.gates.g &&
         last_of(l, distance->b) == chunk.gates.top && last_of(l, m->a) == chunk.gates.decay &&
         last_of(l, m->b) == chunk.gates.top;
}

/// The chunk's inputs as what they were cut from.
bool widen(Lowering& l, Mlstm& chunk, std::int64_t first, std::int64_t end) {
  for (ValueId* id : {&chunk.q, &chunk.k, &chunk.v, &chunk.gates.i, &chunk.gates.f}) {
    const auto whole = cut_from(l, *id, first, end);
    if (!whole) return false;
    *id = *whole;
  }
  return true;
}

bool same_inputs(const Mlstm& a, const Mlstm& b) {
  return a.q == b.q && a.k == b.k && a.v == b.v && a.gates.i == b.gates.i && a.gates.f == b.gates.f &&
         a.eps == b.eps;
}

/// Chunk after chunk, each from the state that the one before leaves; their results one behind the other.
std::optional<Mlstm> find_chunks(Lowering& l, const Op& cat) {
  const std::int64_t dim = cat.int_or("dim", 0);
  if (dim != 2 && dim != -2) return std::nullopt;
  std::optional<Mlstm> whole, before;
  std::int64_t end = 0;
  for (ValueId h : cat.tensors("tensors")) {
    const Op* quotient = l.made_by(h, "div");
    const auto chunk = quotient ? find_mlstm(l, *quotient) : std::nullopt;
    if (!chunk || chunk->state.has_value() != before.has_value() || l.value(h).shape.size() != 4)
      return std::nullopt;
    if (before && !leaves(l, *before, *chunk->state)) return std::nullopt;
    const std::int64_t first = std::exchange(end, end + l.value(h).shape[2].hint);
    Mlstm widened = *chunk;
    if (l.value(h).shape[2].symbolic() || !widen(l, widened, first, end)) return std::nullopt;
    if (whole && !same_inputs(*whole, widened)) return std::nullopt;
    if (!whole) whole = widened;
    before = chunk;
  }
  return whole && l.value(whole->q).shape[2] == l.value(cat.outputs[0]).shape[2] ? whole : std::nullopt;
}

bool fits(const Lowering& l, const Mlstm& m) {
  for (ValueId id : {m.q, m.k, m.v, m.gates.i, m.gates.f})
    if (!l.is_float(id)) return false;
  return l.value(m.q).shape.size() == 4 && l.value(m.k).shape == l.value(m.q).shape &&
         l.value(m.v).shape.size() == 4 && l.value(m.gates.i).shape.size() == 3 &&
         l.value(m.gates.f).shape == l.value(m.gates.i).shape;
}

bool fuse(Lowering& l, Op& op, bool chunks) {
  if (op.target != (chunks ? "aten.cat.default" : "aten.div.Tensor")) return false;
  const auto found = chunks ? find_chunks(l, op) : find_mlstm(l, op);
  if (!found || !fits(l, *found) || (!chunks && found->state)) return false;
  op.target = "pollard.mlstm.default";
  op.args = {{"q", found->q},       {"k", found->k},       {"v", found->v},
             {"i", found->gates.i}, {"f", found->gates.f}, {"eps", found->eps}};
  return true;
}

}  // namespace

std::size_t fuse_mlstms(Lowering& l) {
  std::size_t places = 0;
  // Chunks first: the first of them alone is a parallel form too.
  for (const bool chunks : {true, false}) {
    places += at_every_op(l, [&](std::size_t i) { return fuse(l, l.op(i), chunks); });
    l.settle();
  }
  return places;
}

}  // namespace pollard::kernels
