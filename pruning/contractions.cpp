// SPDX-License-Identifier: Apache-2.0
#include "pruning/contractions.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>

#include "graph/op_rules.h"

namespace pollard::pruning {
namespace {

using graph::Op;
using graph::Program;
using graph::ValueId;

/// Values computed from parameters and constants alone: what a contraction may have as its W.
std::vector<bool> made_of_weights(const Program& program) {
  std::vector<bool> out(program.values.size(), false);
  for (const graph::Input& input : program.inputs)
    if (!input.constant && input.kind != graph::Input::Kind::User)
      out[static_cast<std::size_t>(input.value.index)] = true;
  for (const Op& op : program.ops) {
    bool all = true, any = false;
    for (const graph::NamedArg& named : op.args)
      for (ValueId id : graph::values_in(named.arg)) {
        any = true;
        all = all && out[static_cast<std::size_t>(id.index)];
      }
    for (ValueId id : op.outputs) out[static_cast<std::size_t>(id.index)] = all && any;
  }
  return out;
}

bool is_recurrent(std::string_view name) {
  return name == "lstm" || name == "gru" || name == "rnn_tanh" || name == "rnn_relu";
}

bool is_transposed(const Op& op) {
  return op.base_name().starts_with("conv_transpose") || op.bool_or("transposed", false);
}

class Finder {
 public:
  Finder(const Program& program, const graph::Dependencies& d)
      : program_(program), d_(d), weights_(made_of_weights(program)) {}

  std::vector<Contraction> find() {
    for (op_ = 0; op_ < program_.ops.size(); ++op_) visit(program_.ops[op_]);
    return std::move(out_);
  }

 private:
  using Kind = Contraction::Kind;

  void visit(const Op& op) {
    const std::string_view name = op.base_name();
    if (name == "linear") return linear(op, "input", "weight", 0, op.tensor("bias").has_value(), false);
    if (name == "addmm") return linear(op, "mat1", "mat2", 1, true, true);
    if (name == "baddbmm") return linear(op, "batch1", "batch2", 1, true, true);
    if (name == "mm" || name == "bmm") return product(op, "self", "mat2");
    if (name == "matmul") return product(op, "self", "other");
    if (name == "scaled_dot_product_attention") return activations(op, "query", "key", false);
    if (name.starts_with("conv") || name == "_convolution") return convolution(op);
    if (is_recurrent(name)) return recurrent(op);
    if (name.ends_with("_cell")) return cell(op);
  }

  bool of_weights(ValueId id) const { return weights_[static_cast<std::size_t>(id.index)]; }
  const std::vector<graph::TermId>& dims(ValueId id) const { return d_[id].dims; }

  Contraction& add(Kind kind, graph::TermId term, std::string input, bool intercept,
                   const std::string& part = {}) {
    out_.push_back({.kind = kind,
                    .op = op_,
                    .name = program_.ops[op_].name + part,
                    .term = term,
                    .input = std::move(input),
                    .intercept = intercept});
    return out_.back();
  }

  void linear(const Op& op, const char* input, const char* weight, std::size_t first, bool bias,
              bool transposed) {
    const auto x = op.tensor(input), w = op.tensor(weight);
    if (!x || !w || !of_weights(*w) || of_weights(*x) || dims(*w).size() < 2) return;
    const std::size_t rank = dims(*w).size();
    Contraction& c = add(Kind::Linear, dims(*w)[transposed ? rank - 2 : rank - 1],
                         program_[*x].name + (rank == 3 ? "[batched]" : ""), bias);
    c.x = first;
    c.w = first + 1;
    c.weight_transposed = transposed;
    c.source = *x;
    if (rank == 2) c.rows = dims(*w)[transposed ? 1 : 0];
  }

  void product(const Op& op, const char* left, const char* right) {
    const auto a = op.tensor(left), b = op.tensor(right);
    if (!a || !b) return;
    if (!of_weights(*a) && !of_weights(*b)) return activations(op, left, right, true);
    if (of_weights(*b)) return linear(op, left, right, 0, false, true);
    if (of_weights(*a) && dims(*a).size() == 2 && dims(*b).size() >= 2) {
      Contraction& c = add(Kind::Linear, dims(*a)[1], program_[*b].name + "'", false);
      c.x = 1;
      c.w = 0;
      c.swapped = true;
      c.rows = dims(*a)[0];
    }
  }

  // The contracted dimension is the last of both, or the last but one of the second.
  void activations(const Op& op, const char* left, const char* right, bool matmul) {
    const auto a = op.tensor(left), b = op.tensor(right);
    if (!a || !b || dims(*a).size() < 2 || dims(*b).size() < 2) return;
    Contraction& c = add(Kind::Product, dims(*a).back(), program_[*a].name + "*" + program_[*b].name, false);
    c.weight_transposed = matmul;
  }

  void convolution(const Op& op) {
    const auto x = op.tensor("input"), w = op.tensor("weight");
    if (!x || !w || !of_weights(*w) || of_weights(*x) || dims(*w).size() < 3) return;
    const bool transposed = is_transposed(op);
    if (transposed && op.int_or("groups", 1) > 1) return;  // its channels are no factor of their own
    std::string geometry = program_[*x].name;
    for (const graph::NamedArg& named : op.args)
      if (!graph::values_in(named.arg).size())
        geometry += " " + named.name + "=" + to_string(named.arg, program_);
    for (std::size_t k = 2; k < program_[*w].shape.size(); ++k)
      geometry += "," + std::to_string(program_[*w].shape[k].hint);
    Contraction& c = add(transposed ? Kind::Transposed : Kind::Convolution, dims(*w)[transposed ? 0 : 1],
                         geometry, op.tensor("bias").has_value());
    if (!transposed) c.rows = dims(*w)[0];
  }

  void recurrent(const Op& op) {
    const std::vector<ValueId> params = op.tensors("params");
    const bool biases = op.bool_or("has_biases", true);
    const auto runs =
        static_cast<std::size_t>(op.int_or("num_layers", 1)) * (op.bool_or("bidirectional", false) ? 2 : 1);
    if (!op.target.ends_with(".input") || runs == 0 || params.size() % runs) return;
    const std::size_t per = params.size() / runs, directions = op.bool_or("bidirectional", false) ? 2 : 1;
    for (std::size_t k = 0; k < runs; ++k)
      for (std::size_t state = 0; state < 2; ++state) {
        const std::string part = (state ? "/hh" : "/ih") + std::to_string(k);
        const std::string input =
            op.name + (state ? "/h" + std::to_string(k) : "/x" + std::to_string(k / directions));
        Contraction& c = add(Kind::Recurrent, dims(params[k * per + state])[1], input, biases, part);
        c.part = 2 * k + state;
        c.rows = dims(params[k * per + state])[0];
      }
  }

  void cell(const Op& op) {
    for (std::size_t state = 0; state < 2; ++state) {
      const auto w = op.tensor(state ? "w_hh" : "w_ih");
      if (!w || dims(*w).size() != 2) return;
      Contraction& c = add(Kind::Recurrent, dims(*w)[1], op.name + (state ? "/h" : "/x"),
                           op.tensor("b_ih").has_value(), state ? "/hh" : "/ih");
      c.part = state;
      c.rows = dims(*w)[0];
    }
  }

  const Program& program_;
  const graph::Dependencies& d_;
  std::vector<bool> weights_;
  std::size_t op_ = 0;
  std::vector<Contraction> out_;
};

}  // namespace

std::vector<Contraction> find_contractions(const Program& program, const graph::Dependencies& d) {
  return Finder(program, d).find();
}

Operands CallReader::operands(const Contraction& c) {
  if (c.kind == Contraction::Kind::Recurrent) {
    if (op_.base_name().ends_with("_cell")) return cell(c);
    if (parts_.empty()) run_recurrent();
    return parts_.at(c.part);
  }
  Operands out{stack_[c.x].toTensor().detach(), stack_[c.w].toTensor().detach()};
  if (c.swapped) out.x = out.x.transpose(-1, -2);
  if (c.kind != Contraction::Kind::Product) return out;
  if (c.weight_transposed) out.w = out.w.transpose(-1, -2);
  if (out.x.dim() > 2 && out.w.dim() == out.x.dim() && out.w.size(-3) > 0 && out.w.size(-3) < out.x.size(-3))
    out.w = out.w.repeat_interleave(out.x.size(-3) / out.w.size(-3), -3);  // keys shared by several queries
  return out;
}

Operands CallReader::cell(const Contraction& c) const {
  const at::Tensor state = stack_[1].isTensor() ? stack_[1].toTensor() : stack_[1].toTensorVector().front();
  return {(c.part ? state : stack_[0].toTensor()).detach(), stack_[2 + c.part].toTensor().detach()};
}

// Layer by layer, as the op itself does; the state a step reads is what the step before left.
void CallReader::run_recurrent() {
  const std::string_view name = op_.base_name();
  at::Tensor x = stack_[0].toTensor().detach();
  std::vector<at::Tensor> hx =
      stack_[1].isTensor() ? std::vector{stack_[1].toTensor()} : stack_[1].toTensorVector();
  const std::vector<at::Tensor> params = stack_[2].toTensorVector();
  const bool biases = stack_[3].toBool(), both = stack_[7].toBool(), batch_first = stack_[8].toBool();
  const std::int64_t layers = stack_[4].toInt(), directions = both ? 2 : 1,
                     per = static_cast<std::int64_t>(params.size()) / (layers * directions);
  const std::int64_t time = batch_first && x.dim() == 3 ? 1 : 0;
  const auto samples_first = [&](const at::Tensor& t) {
    return t.dim() == 3 && !batch_first ? t.transpose(0, 1) : t;
  };
  for (std::int64_t l = 0; l < layers; ++l) {
    const std::vector<at::Tensor> own(params.begin() + l * directions * per,
                                      params.begin() + (l + 1) * directions * per);
    std::vector<at::Tensor> states;
    for (const at::Tensor& h : hx) states.push_back(h.detach().narrow(0, l * directions, directions));
    const auto run = [&](auto f) {
      return std::get<0>(f(x, states[0], own, biases, 1, 0.0, false, both, batch_first));
    };
    const at::Tensor y = name == "lstm"
                             ? std::get<0>(at::lstm(x, states, own, biases, 1, 0.0, false, both, batch_first))
                         : name == "gru"      ? run([](auto&&... a) { return at::gru(a...); })
                         : name == "rnn_tanh" ? run([](auto&&... a) { return at::rnn_tanh(a...); })
                                              : run([](auto&&... a) { return at::rnn_relu(a...); });
    const std::vector<at::Tensor> outs = y.chunk(directions, -1);
    for (std::int64_t k = 0; k < directions; ++k) {
      at::Tensor first = states[0].narrow(0, k, 1);
      if (time == 1) first = first.transpose(0, 1);
      const std::int64_t steps = y.size(time);
      const at::Tensor& out = outs[static_cast<std::size_t>(k)];
      const at::Tensor before = k == 0 ? at::cat({first, out.narrow(time, 0, steps - 1)}, time)
                                       : at::cat({out.narrow(time, 1, steps - 1), first}, time);
      const auto at = static_cast<std::size_t>(2 * (l * directions + k));
      parts_[at] = {samples_first(x), own[static_cast<std::size_t>(k * per)].detach()};
      parts_[at + 1] = {samples_first(before), own[static_cast<std::size_t>(k * per + 1)].detach()};
    }
    x = y;
  }
}

}  // namespace pollard::pruning
