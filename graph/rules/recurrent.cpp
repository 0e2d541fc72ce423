// SPDX-License-Identifier: Apache-2.0
// LSTM, GRU and RNN layers and cells. Hidden size H, gates g (LSTM 4, GRU 3, RNN 1):
//   weight_ih [g! x H, input], weight_hh [g! x H, H or P], biases [g! x H], weight_hr [P, H] with projections.
#include <array>

#include "graph/op_rules.h"

namespace pollard::graph {
namespace {

std::int64_t gates_of(std::string_view name) {
  if (name.starts_with("lstm")) return 4;
  return name.starts_with("gru") ? 3 : 1;
}

struct Layer {
  TermId hidden;  ///< H
  TermId output;  ///< H, or P with a projection
};

/// Couples one direction of one layer; `weights` are ih, hh, [b_ih, b_hh], [hr].
Layer couple(RuleContext& c, std::span<const ValueId> weights, std::int64_t gates, TermId input,
             bool biases) {
  const bool projected = weights.size() == (biases ? 5U : 3U);
  const auto& hh = c.in(weights[1]).dims;
  const std::int64_t H = c.size(hh.at(0)) / gates;
  Layer layer{.hidden = projected ? c.fresh(H) : hh.at(1), .output = hh.at(1)};
  const TermId rows = c.terms().product({c.frozen(gates, FreezeWhy::Gate), layer.hidden});
  const std::size_t gated = weights.size() - (projected ? 1 : 0);
  for (std::size_t i = 0; i < gated; ++i) c.unify(c.in(weights[i]).dims.at(0), rows);
  c.unify(c.in(weights[0]).dims.at(1), input);
  if (projected) {
    const auto& hr = c.in(weights.back()).dims;
    c.unify(hr.at(0), layer.output);
    c.unify(hr.at(1), layer.hidden);
  }
  return layer;
}

void count(RuleContext& c, std::span<const TermId> steps, std::int64_t gates, const Layer& layer,
           TermId input) {
  for (TermId inner : {input, layer.output}) {
    std::vector<TermId> cost(steps.begin(), steps.end());
    cost.insert(cost.end(), {layer.hidden, inner});
    c.macs(gates, std::move(cost));
  }
  if (!(layer.hidden == layer.output)) {
    std::vector<TermId> cost(steps.begin(), steps.end());
    cost.insert(cost.end(), {layer.hidden, layer.output});
    c.macs(1, std::move(cost));
  }
}

/// An initial state [layers x directions, N.., H] meets every layer's H: a constant one only ties their counts.
void couple_state(RuleContext& c, ValueId state, std::span<const TermId> sizes, std::size_t batch_dim,
                  TermId batch) {
  ValueFacts& f = c.facts(state);
  if (f.stacked && f.stacked->dim == 0 && f.stacked->slices.size() == sizes.size()) {
    for (std::size_t k = 0; k < sizes.size(); ++k) c.unify(f.stacked->slices[k].back(), sizes[k]);
    return;
  }
  const ValueTerms& s = c.in(state);
  if (s.dims.empty()) c.malformed("a state without dimensions");
  if (s.dims.size() > 2) c.unify(s.dims.at(batch_dim), batch);
  for (TermId size : sizes) f.uniform ? c.tie_counts(s.dims.back(), size) : c.unify(s.dims.back(), size);
}

// h_n, c_n: position k along dim 0 is layer k's state.
void set_state(RuleContext& c, std::size_t k, const std::vector<TermId>& batch,
               std::span<const TermId> sizes) {
  if (k >= c.out_count()) return;
  Stacked stacked{.dim = 0, .slices = {}};
  for (TermId size : sizes) {
    stacked.slices.push_back(batch);
    stacked.slices.back().push_back(size);
  }
  std::vector<TermId> dims = stacked.slices.front();
  dims.insert(dims.begin(), c.frozen(static_cast<std::int64_t>(sizes.size()), FreezeWhy::Stack));
  c.set_stacked(k, std::move(stacked), std::move(dims));
}

/// A sample that is masked: zero goes in, but biases make a state of it.
std::vector<TermId> alive_samples(RuleContext& c, TermId batch, const ValueTerms& x, bool biases) {
  const std::array dims{batch};
  return biases ? c.all_axes(dims) : c.nonvanishing_sum(dims, std::array{&x});
}

void apply_recurrent(RuleContext& c, const OpRule& rule) {
  if (!c.op().target.ends_with(".input")) return c.give_up(FreezeWhy::UnknownOp);  // packed sequences
  const std::int64_t gates = gates_of(rule.name);
  const ValueTerms& x = c.in("input");
  if (x.dims.empty()) c.malformed("an input without dimensions");
  const std::vector<ValueId> weights = c.op().tensors("params");
  const bool biases = c.op().bool_or("has_biases", true);
  const std::size_t directions = c.op().bool_or("bidirectional", false) ? 2 : 1;
  const auto layers = static_cast<std::size_t>(c.op().int_or("num_layers", 1));
  if (layers == 0 || layers > weights.size() || weights.size() % (layers * directions))
    c.malformed("weights for another number of layers");
  const std::size_t per = weights.size() / (layers * directions), least = biases ? 4 : 2;
  if (per != least && per != least + 1) c.malformed("weights for another number of layers");
  const std::vector<TermId> steps(x.dims.begin(), x.dims.end() - 1);
  TermId input = x.dims.back();
  std::vector<TermId> hidden, outputs;
  for (std::size_t l = 0; l < layers; ++l) {
    std::vector<TermId> joined;
    for (std::size_t d = 0; d < directions; ++d) {
      const Layer layer =
          couple(c, std::span(weights).subspan((l * directions + d) * per, per), gates, input, biases);
      count(c, steps, gates, layer, input);
      hidden.push_back(layer.hidden);
      outputs.push_back(layer.output);
      joined.push_back(layer.output);
    }
    input = c.terms().sum(joined);
  }
  // One call has one hidden size: all layers and directions keep equally many units, of their own choice.
  for (std::size_t k = 1; k < hidden.size(); ++k) {
    c.tie_counts(hidden[0], hidden[k]);
    c.tie_counts(outputs[0], outputs[k]);
  }
  const bool batched = x.dims.size() == 3;
  const bool batch_first = c.op().bool_or("batch_first", false);
  const TermId batch = batched ? x.dims.at(batch_first ? 0 : 1) : c.fresh(1);
  c.freeze(x.dims.at(batched && batch_first ? 1 : 0),
           FreezeWhy::Order);  // a step without input still moves the state
  const std::vector<TermId> state_batch = batched ? std::vector{batch} : std::vector<TermId>{};
  const std::vector<ValueId> states = c.op().tensors("hx");
  for (std::size_t k = 0; k < states.size(); ++k)
    couple_state(c, states[k], k == 0 ? outputs : hidden, 1, batch);
  std::vector<TermId> dims = steps;
  dims.push_back(input);
  c.set(0, std::move(dims), alive_samples(c, batch, x, biases));
  set_state(c, 1, state_batch, outputs);
  if (gates == 4) set_state(c, 2, state_batch, hidden);
}

void apply_cell(RuleContext& c, const OpRule& rule) {
  const std::int64_t gates = gates_of(rule.name);
  const ValueTerms& x = c.in("input");
  if (x.dims.empty()) c.malformed("an input without dimensions");
  std::vector<ValueId> weights{c.id("w_ih"), c.id("w_hh")};
  for (const char* bias : {"b_ih", "b_hh"})
    if (c.has(bias)) weights.push_back(c.id(bias));
  const Layer layer = couple(c, weights, gates, x.dims.back(), weights.size() == 4);
  const std::vector<TermId> batch(x.dims.begin(), x.dims.end() - 1);
  count(c, batch, gates, layer, x.dims.back());
  for (ValueId state : c.op().tensors("hx")) {
    const ValueTerms& s = c.in(state);
    if (s.dims.empty()) c.malformed("a state without dimensions");
    c.facts(state).uniform ? c.tie_counts(s.dims.back(), layer.hidden) : c.unify(s.dims.back(), layer.hidden);
    if (!batch.empty()) c.unify(s.dims.front(), batch.front());
  }
  for (std::size_t k = 0; k < c.out_count(); ++k) {
    std::vector<TermId> dims = batch;
    dims.push_back(layer.hidden);
    c.set(k, std::move(dims));
  }
}

// An operator's bidirectional layer over x [places.., C], given as the weights of its two directions: what each of them says.
std::array<TermId, 2> couple_both_ways(RuleContext& c, std::string_view argument, std::int64_t gates,
                                       const ValueTerms& x) {
  const std::vector<ValueId> weights = c.op().tensors(argument);
  const std::size_t per = weights.size() / 2;
  if (weights.size() != 4 && weights.size() != 8) c.malformed("weights for another number of directions");
  std::array<TermId, 2> said{};
  for (std::size_t d = 0; d < 2; ++d) {
    const Layer layer = couple(c, std::span(weights).subspan(d * per, per), gates, x.dims.back(), per == 4);
    count(c, std::span(x.dims).first(x.dims.size() - 1), gates, layer, x.dims.back());
    said[d] = layer.hidden;
  }
  c.tie_counts(said[0], said[1]);
  return said;
}

bool has_biases(RuleContext& c, std::string_view argument) { return c.op().tensors(argument).size() == 8; }

// pollard::bilstm2d(input [B, H, W, C], columns, rows), pollard::bigru2d: a bidirectional layer along H and one along W;
// the result joins what all four directions say.
void apply_map(RuleContext& c, const OpRule& rule) {
  const std::int64_t gates = rule.name == "pollard::bilstm2d" ? 4 : 3;
  const ValueTerms& x = c.in("input");
  if (x.dims.size() != 4) c.malformed("a map has 4 dimensions");
  std::vector<TermId> joined;
  bool biases = false;
  for (const char* scan : {"columns", "rows"}) {
    const auto said = couple_both_ways(c, scan, gates, x);
    joined.insert(joined.end(), said.begin(), said.end());
    biases = biases || has_biases(c, scan);
  }
  std::vector<TermId> dims(x.dims.begin(), x.dims.end() - 1);
  for (std::size_t d : {1, 2}) c.freeze(dims[d], FreezeWhy::Order);
  dims.push_back(c.terms().sum(joined));
  c.set(0, std::move(dims), alive_samples(c, x.dims[0], x, biases));
}

// pollard::bigru(input [B, T, C], weights) -> [B, T, 2 hidden].
void apply_bigru(RuleContext& c, const OpRule&) {
  const ValueTerms& x = c.in("input");
  if (x.dims.size() != 3) c.malformed("sequences have 3 dimensions");
  const auto said = couple_both_ways(c, "weights", 3, x);
  c.freeze(x.dims[1], FreezeWhy::Order);
  c.set(0, {x.dims[0], x.dims[1], c.terms().sum(said)},
        alive_samples(c, x.dims[0], x, has_biases(c, "weights")));
}

// pollard::mlstm(q [B, h, S, d], k as q, v [B, h, S, e], gates [B, h, S]) -> [B, h, S, e]: every position reads the earlier.
void apply_mlstm(RuleContext& c, const OpRule&) {
  const ValueTerms &q = c.in("q"), &k = c.in("k"), &v = c.in("v"), &i = c.in("i"), &f = c.in("f");
  if (q.dims.size() != 4 || k.dims.size() != 4 || v.dims.size() != 4 || i.dims.size() != 3 ||
      f.dims.size() != 3)
    c.malformed("heads have 4 dimensions, their gates 3");
  for (std::size_t d = 0; d < 3; ++d)
    for (const ValueTerms* other : {&k, &v, &i, &f}) c.unify(q.dims[d], other->dims[d]);
  const TermId inner = q.dims[3], steps = q.dims[2];
  c.unify(inner, k.dims[3]);
  c.freeze(steps, FreezeWhy::Order);
  c.role(q.dims[1], Role::Head);
  for (TermId width : {inner, v.dims[3]}) c.role(width, Role::HeadDim);
  const std::array contracted{&q, &k};
  const std::array through{&v};
  c.contract(inner, contracted, "q", 3);
  for (TermId width : {inner, v.dims[3]}) c.macs(1, {q.dims[0], q.dims[1], steps, steps, width});
  std::vector<TermId> dims{q.dims[0], q.dims[1], steps, v.dims[3]};
  std::vector<TermId> alive = c.nonvanishing_product(dims, through);
  c.set(0, std::move(dims), std::move(alive));
}

}  // namespace

std::span<const OpRule> recurrent_rules() {
  static constexpr auto kRules = std::to_array<OpRule>({
      {.name = "lstm", .apply = apply_recurrent},
      {.name = "gru", .apply = apply_recurrent},
      {.name = "rnn_tanh", .apply = apply_recurrent},
      {.name = "rnn_relu", .apply = apply_recurrent},
      {.name = "lstm_cell", .apply = apply_cell},
      {.name = "gru_cell", .apply = apply_cell},
      {.name = "rnn_tanh_cell", .apply = apply_cell},
      {.name = "rnn_relu_cell", .apply = apply_cell},
      {.name = "pollard::bilstm2d", .apply = apply_map},
      {.name = "pollard::bigru2d", .apply = apply_map},
      {.name = "pollard::bigru", .apply = apply_bigru},
      {.name = "pollard::mlstm", .apply = apply_mlstm},
  });
  return kRules;
}

}  // namespace pollard::graph
