// SPDX-License-Identifier: Apache-2.0
// Products of two tensors: matmul in all its forms, einsum, and attention: scaled dot-product, focused linear, cascaded group.
#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <string>

#include "graph/op_rules.h"

namespace pollard::graph {
namespace {

/// In a product of two activations the batch dimensions that carry weights are heads, the others head dims.
void mark_heads(RuleContext& c, std::span<const TermId> batch, std::span<const TermId> inner) {
  for (TermId term : batch) c.role(term, Role::Head);
  for (TermId term : inner) c.role(term, Role::HeadDim);
}

struct Product {
  const ValueTerms &a, &b;
  std::string_view a_name;
  std::vector<TermId> dims;  ///< of the result
  std::vector<TermId> batch;
  TermId inner;  ///< the contracted term
};

/// Batched matrix product with broadcasting and 1-d operands, as torch.matmul defines it.
Product multiply(RuleContext& c, std::string_view a_name, std::string_view b_name) {
  Product p{.a = c.in(a_name), .b = c.in(b_name), .a_name = a_name, .dims = {}, .batch = {}, .inner = {}};
  const std::size_t ra = p.a.dims.size(), rb = p.b.dims.size();
  if (ra == 0 || rb == 0) c.malformed("a matrix product of a scalar");
  p.inner = p.a.dims.back();
  c.unify(p.inner, rb > 1 ? p.b.dims[rb - 2] : p.b.dims[0]);
  const std::span a_batch(p.a.dims.data(), ra > 2 ? ra - 2 : 0),
      b_batch(p.b.dims.data(), rb > 2 ? rb - 2 : 0);
  const auto &longer = a_batch.size() >= b_batch.size() ? a_batch : b_batch,
             &shorter = a_batch.size() >= b_batch.size() ? b_batch : a_batch;
  p.batch.assign(longer.begin(), longer.end());
  const std::size_t offset = longer.size() - shorter.size();
  for (std::size_t d = 0; d < shorter.size(); ++d) {
    if (c.size(p.batch[offset + d]) == 1)
      p.batch[offset + d] = shorter[d];
    else if (c.size(shorter[d]) != 1)
      c.unify(p.batch[offset + d], shorter[d]);
  }
  p.dims = p.batch;
  if (ra > 1) p.dims.push_back(p.a.dims[ra - 2]);
  if (rb > 1) p.dims.push_back(p.b.dims[rb - 1]);
  return p;
}

void finish(RuleContext& c, Product& p, const ValueTerms* added) {
  const std::array operands{&p.a, &p.b};
  const std::size_t ra = p.a.dims.size();
  c.contract(p.inner, operands, p.a_name, ra - 1);
  std::vector<TermId> cost = p.dims;
  cost.push_back(p.inner);
  c.macs(1, std::move(cost));
  std::vector<TermId> alive = c.nonvanishing_product(p.dims, operands);
  if (added) {
    c.broadcast(p.dims, added->dims);
    const std::array sum{added};
    for (TermId axis : c.nonvanishing_sum(p.dims, sum)) alive.push_back(axis);
  }
  c.set(0, std::move(p.dims), std::move(alive));
}

void apply_matmul(RuleContext& c, const OpRule& rule) {
  const std::string_view second = rule.name == "bmm" ? "mat2" : "other";
  Product p = multiply(c, "self", second);
  if (!c.facts(c.id("self")).from_weights && !c.facts(c.id(second)).from_weights) {
    const TermId columns = p.b.dims.back();
    mark_heads(c, p.batch, std::array{p.inner, columns});
  }
  finish(c, p, nullptr);
}

void apply_addmm(RuleContext& c, const OpRule& rule) {
  const bool batched = rule.name == "baddbmm";
  Product p = multiply(c, batched ? "batch1" : "mat1", batched ? "batch2" : "mat2");
  const ValueTerms& added = c.in("self");
  finish(c, p, &added);
}

struct Equation {
  std::vector<std::string> inputs;
  std::string output;
};

Equation parse_equation(std::string text) {
  std::erase(text, ' ');
  Equation equation;
  const auto arrow = text.find("->");
  const std::string left = text.substr(0, arrow);
  for (std::size_t at = 0; at <= left.size();) {
    const std::size_t next = std::min(left.find(',', at), left.size());
    equation.inputs.push_back(left.substr(at, next - at));
    at = next + 1;
  }
  if (arrow != std::string::npos) {
    equation.output = text.substr(arrow + 2);
    return equation;
  }
  std::map<char, int> seen;  // without an arrow: letters that occur once, in alphabetical order
  for (const std::string& input : equation.inputs)
    for (char letter : input) ++seen[letter];
  for (const auto& [letter, times] : seen)
    if (times == 1 && letter != '.') equation.output += letter;
  return equation;
}

void mark_einsum_roles(RuleContext& c, const Equation& e, std::map<char, TermId>& letters) {
  if (e.inputs.size() != 2) return;
  for (const auto& [letter, term] : letters) {
    const bool in_a = e.inputs[0].find(letter) != std::string::npos,
               in_b = e.inputs[1].find(letter) != std::string::npos;
    const bool in_out = e.output.find(letter) != std::string::npos;
    if (in_a && in_b) c.role(term, in_out ? Role::Head : Role::HeadDim);
  }
}

void apply_einsum(RuleContext& c, const OpRule&) {
  const std::vector<ValueId> ids = c.op().tensors("tensors");
  const auto* text = c.op().find("equation") ? c.op().find("equation")->as<std::string>() : nullptr;
  if (!text || text->find("...") != std::string::npos) return c.give_up(FreezeWhy::UnknownOp);
  const Equation e = parse_equation(*text);
  if (e.inputs.size() != ids.size()) c.malformed("einsum " + *text);
  std::map<char, TermId> letters;
  std::vector<const ValueTerms*> operands;
  bool activations = true;
  for (std::size_t k = 0; k < ids.size(); ++k) {
    const ValueTerms& x = c.in(ids[k]);
    if (x.dims.size() != e.inputs[k].size()) c.malformed("einsum " + *text);
    operands.push_back(&x);
    activations = activations && !c.facts(ids[k]).from_weights;
    for (std::size_t d = 0; d < x.dims.size(); ++d)
      if (const auto [found, fresh] = letters.emplace(e.inputs[k][d], x.dims[d]); !fresh) {
        if (c.size(found->second) == 1)
          found->second = x.dims[d];
        else if (c.size(x.dims[d]) != 1)
          c.unify(found->second, x.dims[d]);
      }
  }
  std::vector<TermId> dims, cost;
  for (char letter : e.output) {
    if (!letters.contains(letter)) c.malformed("einsum " + *text);
    dims.push_back(letters[letter]);
  }
  for (const auto& [letter, term] : letters) {
    cost.push_back(term);
    // Letters summed away: where no operand vanishes, the masked original would add what was removed.
    if (e.output.find(letter) == std::string::npos &&
        !c.nonvanishing_product(std::array{term}, operands).empty())
      c.freeze(term, FreezeWhy::Reduction);
  }
  if (activations) mark_einsum_roles(c, e, letters);
  if (ids.size() > 1) c.macs(1, std::move(cost));
  std::vector<TermId> alive = c.nonvanishing_product(dims, operands);
  c.set(0, std::move(dims), std::move(alive));
}

// query [.., L, E], key [.., S, E], value [.., S, D]: E is contracted, S softmaxed, D goes through.
// With enable_gqa, query heads are (key heads x group).
void apply_sdpa(RuleContext& c, const OpRule&) {
  const ValueTerms &q = c.in("query"), &k = c.in("key"), &v = c.in("value");
  const std::size_t rank = q.dims.size();
  if (rank < 2 || k.dims.size() != rank || v.dims.size() != rank) return c.give_up(FreezeWhy::Unfit);
  const TermId E = q.dims[rank - 1], L = q.dims[rank - 2], S = k.dims[rank - 2], D = v.dims[rank - 1];
  c.unify(E, k.dims[rank - 1]);
  c.unify(S, v.dims[rank - 2]);
  c.freeze(S, FreezeWhy::Softmax);
  std::vector<TermId> dims, batch(q.dims.begin(), q.dims.end() - 2);
  for (std::size_t d = 0; d + 2 < rank; ++d) {
    if (c.size(k.dims[d]) != 1 && c.size(v.dims[d]) != 1) c.unify(k.dims[d], v.dims[d]);
    if (c.size(q.dims[d]) == c.size(k.dims[d]))
      c.unify(q.dims[d], k.dims[d]);
    else if (c.size(k.dims[d]) > 1 && c.size(q.dims[d]) % c.size(k.dims[d]) == 0)
      c.unify(q.dims[d], c.terms().product({k.dims[d], c.fresh(c.size(q.dims[d]) / c.size(k.dims[d]))}));
    dims.push_back(q.dims[d]);
  }
  mark_heads(c, batch, std::array{E, D});
  dims.push_back(L);
  if (c.has("attn_mask")) {
    std::vector<TermId> scores = dims;
    scores.push_back(S);
    c.broadcast(scores, c.in("attn_mask").dims);
  }
  std::vector<const ValueTerms*> through{&v};
  if (c.has("gate")) {  // pollard::masked_attention: [heads] or [B, heads]
    const ValueTerms& gate = c.in("gate");
    if (gate.dims.empty() || gate.dims.size() > batch.size()) c.malformed("a gate for each head");
    c.broadcast(batch, gate.dims);
    through.push_back(&gate);
  }
  const std::array contracted{&q, &k};
  c.contract(E, contracted, "query", rank - 1);
  std::vector<TermId> scores = dims, mix = dims;
  scores.insert(scores.end(), {S, E});
  mix.insert(mix.end(), {S, D});
  c.macs(1, std::move(scores));
  c.macs(1, std::move(mix));
  dims.push_back(D);
  std::vector<TermId> alive = c.nonvanishing_product(dims, through);
  c.set(0, std::move(dims), std::move(alive));
}

// The implicit scale 1/sqrt(E) is written out with the original head dim: the masked original computes with it.
void rewrite_sdpa(RewriteContext& c) {
  const TermId E = c.terms("query").back();
  const Arg* scale = c.op().find("scale");
  if (!c.resized(E) || (scale && !scale->is_none())) return;
  c.op().set("scale", 1.0 / std::sqrt(static_cast<double>(c.old_size(E))), true);
}

// pollard::monarch(input [.., k p], first [k, q, p], second [l, s, r]) -> [.., s l]: block-diagonal, its result [k q] read
// as [r l], block-diagonal again.
void apply_monarch(RuleContext& c, const OpRule&) {
  const ValueTerms &x = c.in("input"), &first = c.in("first"), &second = c.in("second");
  const std::vector<TermId>&a = first.dims, &b = second.dims;
  if (x.dims.empty() || a.size() != 3 || b.size() != 3) c.malformed("blocks have 3 dimensions");
  c.unify(x.dims.back(), c.terms().product({a[0], a[2]}));
  c.unify(c.terms().product({a[0], a[1]}), c.terms().product({b[2], b[0]}));
  const std::array inside{&x, &first}, between{&first, &second}, through{&x, &second};
  // Where no operand vanishes, the masked original would add what was removed.
  if (!c.nonvanishing_product(std::array{a[2]}, inside).empty()) c.freeze(a[2], FreezeWhy::Reduction);
  if (!c.nonvanishing_product(std::array{b[2]}, between).empty()) c.freeze(b[2], FreezeWhy::Reduction);
  std::vector<TermId> dims(x.dims.begin(), x.dims.end() - 1);
  for (const std::vector<TermId>& blocks : {a, b}) {
    std::vector<TermId> cost = dims;
    cost.insert(cost.end(), blocks.begin(), blocks.end());
    c.macs(1, std::move(cost));
  }
  dims.push_back(c.terms().product({b[1], b[0]}));
  std::vector<TermId> alive = c.nonvanishing_product(dims, through);
  c.set(0, std::move(dims), std::move(alive));
}

// pollard::focused_linear_attention(q [B, N, C], k [B, n, C], v [B, n, (h x e)], gain [C]) with C = (h x d): a channel whose
// gain is 0 takes no part, so lengths and products are over the kept ones.
void apply_focused(RuleContext& c, const OpRule&) {
  const ValueTerms &q = c.in("q"), &k = c.in("k"), &v = c.in("v"), &gain = c.in("gain");
  const std::int64_t heads = c.op().int_or("heads", 1);
  if (q.dims.size() != 3 || k.dims.size() != 3 || v.dims.size() != 3 || gain.dims.empty() || heads < 1 ||
      c.size(q.dims[2]) % heads || c.size(v.dims[2]) % heads)
    c.malformed("channels not divisible by heads");
  const TermId h = c.fresh(heads), d = c.fresh(c.size(q.dims[2]) / heads),
               e = c.fresh(c.size(v.dims[2]) / heads);
  const TermId width = c.terms().product({h, d});
  c.remember("heads", h);
  for (TermId term : {q.dims[2], k.dims[2], gain.dims.back()}) c.unify(term, width);
  c.unify(v.dims[2], c.terms().product({h, e}));
  for (const ValueTerms* other : {&k, &v}) c.unify(q.dims[0], other->dims[0]);
  c.unify(k.dims[1], v.dims[1]);
  c.freeze(k.dims[1], FreezeWhy::Reduction);
  mark_heads(c, std::array{h}, std::array{d, e});
  // What is computed from weights alone is zero for removed channels, softplus or not.
  const std::array gated{&gain}, through{&v};
  if (!c.facts(c.id("gain")).from_weights && !c.nonvanishing_product(std::array{width}, gated).empty())
    c.freeze(d, FreezeWhy::Reduction);
  for (TermId cost : {e, c.fresh(1)}) c.macs(1, {q.dims[0], h, q.dims[1], d, cost});
  c.macs(1, {q.dims[0], h, k.dims[1], d, e});
  std::vector<TermId> dims{q.dims[0], q.dims[1], v.dims[2]};
  std::vector<TermId> alive = c.nonvanishing_product(dims, through);
  c.set(0, std::move(dims), std::move(alive));
}

void rewrite_focused(RewriteContext& c) {
  if (const TermId h = c.remembered("heads"); c.resized(h)) c.op().set("heads", c.new_size(h));
}

/// One head of cascaded group attention: what it reads, K and e.
struct CascadedHead {
  TermId in, key, value;
};

CascadedHead couple_cascaded(RuleContext& c, std::size_t h, const ValueTerms& x) {
  const auto weight = [&](const char* list) -> const ValueTerms& {
    const std::vector<ValueId> ids = c.op().tensors(list);
    if (h >= ids.size()) c.malformed("every head has four weights");
    return c.in(ids[h]);
  };
  const ValueTerms &qkv = weight("qkv"), &depthwise = weight("depthwise");
  if (qkv.dims.size() != 4 || depthwise.dims.size() != 4)
    c.malformed("weights of convolutions have 4 dimensions");
  const std::int64_t K = c.size(depthwise.dims[0]), e = c.size(qkv.dims[0]) - 2 * K;
  if (e < 1) c.malformed("queries and keys without values");
  const CascadedHead head{.in = qkv.dims[1], .key = depthwise.dims[0], .value = c.fresh(e)};
  c.unify(qkv.dims[0], c.terms().sum(std::array{head.key, head.key, head.value}));
  c.unify(weight("qkv_bias").dims.at(0), qkv.dims[0]);
  c.unify(weight("depthwise_bias").dims.at(0), head.key);
  for (std::size_t d : {2, 3}) c.freeze(depthwise.dims[d], FreezeWhy::Kernel);
  const TermId batch = x.dims[0], H = x.dims[2], W = x.dims[3];
  for (TermId made : {head.key, head.key, head.value}) c.macs(1, {batch, made, H, W, head.in});
  c.macs(1, {batch, head.key, H, W, depthwise.dims[2], depthwise.dims[3]});
  for (TermId inner : {head.key, head.value}) c.macs(1, {batch, H, W, H, W, inner});
  c.role(head.key, Role::HeadDim);
  return head;
}

// pollard::cascaded_group_attention(input [B, (c_0 + c_1 + ..), H, W], .., bias [heads, n, n]): what a head gives is added to
// what the next one reads.
void apply_cascaded(RuleContext& c, const OpRule&) {
  const ValueTerms &x = c.in("input"), &bias = c.in("bias");
  if (x.dims.size() != 4 || bias.dims.size() != 3) c.malformed("windows have 4 dimensions, their bias 3");
  for (std::size_t d : {2, 3}) c.freeze(x.dims[d], FreezeWhy::Softmax);
  c.freeze(bias.dims[0], FreezeWhy::Stack);
  for (std::size_t d : {1, 2}) c.freeze(bias.dims[d], FreezeWhy::Softmax);
  std::vector<TermId> read, given;
  for (std::size_t h = 0; h < c.op().tensors("qkv").size(); ++h) {
    const CascadedHead head = couple_cascaded(c, h, x);
    if (h > 0) c.unify(given.back(), head.in);
    read.push_back(head.in);
    given.push_back(head.value);
  }
  if (read.empty()) c.malformed("no heads");
  c.unify(x.dims[1], c.terms().sum(read));
  std::vector<TermId> dims{x.dims[0], c.terms().sum(given), x.dims[2], x.dims[3]};
  const std::array batch{x.dims[0]};
  c.set(0, std::move(dims), c.all_axes(batch));  // biases speak for samples that are zero
}

}  // namespace

std::span<const OpRule> attention_rules() {
  static constexpr auto kRules = std::to_array<OpRule>({
      {.name = "matmul", .apply = apply_matmul},
      {.name = "bmm", .apply = apply_matmul},
      {.name = "addmm", .apply = apply_addmm},
      {.name = "baddbmm", .apply = apply_addmm},
      {.name = "einsum", .apply = apply_einsum},
      {.name = "scaled_dot_product_attention", .apply = apply_sdpa, .rewrite = rewrite_sdpa},
      {.name = "pollard::masked_attention", .apply = apply_sdpa, .rewrite = rewrite_sdpa},
      {.name = "pollard::focused_linear_attention", .apply = apply_focused, .rewrite = rewrite_focused},
      {.name = "pollard::cascaded_group_attention", .apply = apply_cascaded},
      {.name = "pollard::monarch", .apply = apply_monarch},
  });
  return kRules;
}

}  // namespace pollard::graph
