// SPDX-License-Identifier: Apache-2.0
#include "pruning/statistics.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <map>
#include <optional>
#include <set>

#include "graph/error.h"
#include "graph/removal.h"
#include "pruning/criteria/slabs.h"
#include "pruning/sample_order.h"

namespace pollard::pruning {
namespace {

using Kind = Contraction::Kind;

class Gatherer {
 public:
  Gatherer(const ScoreContext& context, const std::vector<Contraction>& contractions,
           const StatisticsOptions& options)
      : context_(context),
        options_(options),
        stream_(context.model, context.dependencies, *context.calibration, options.batch) {
    for (const Contraction& c : contractions) {
      auto& input = inputs_[c.input + (options.full ? "" : "@")];
      if (!input) input = std::make_shared<InputMoments>();
      by_op_[context.model.program.ops[c.op].name].push_back(out_.observed.size());
      out_.observed.push_back({.contraction = c, .weight = {}, .input = input, .output_gradient = {}});
    }
    gradient_rows_.assign(out_.observed.size(), 0);
    per_batch_ =
        std::max<std::int64_t>(stream_.batch(), options.max_rows * stream_.batch() / stream_.samples());
  }

  Statistics run(const PartSeen& part_done) {
    out_.samples = static_cast<double>(stream_.samples());
    kernels::RunOptions run;
    run.autograd = options_.gradients;
    run.before_op = [&](const graph::Op& op, std::size_t, std::vector<c10::IValue>& stack) {
      return before(op, stack);
    };
    if (options_.gradients)
      run.after_value = [&](graph::ValueId value, at::Tensor& tensor) { after_value(value, tensor); };
    const kernels::Weights weights =
        options_.gradients ? with_gradients(context_.model) : context_.model.weights;
    const auto begin = [&](const SampleStream::Batch& batch) {
      batch_ = batch;
      order_.emplace(context_.model.program, context_.dependencies, batch.count);
    };
    if (context_.stored) {
      POLLARD_CHECK(!options_.gradients, "gradients need all weights at once");
      stream_.run_by_parts(*context_.stored, run, begin, {}, [&](std::size_t ops) {
        if (part_done) part_done(out_, ops);
      });
    } else {
      stream_.run(weights, run, begin,
                  [&](const SampleStream::Batch& batch, const std::vector<at::Tensor>& outputs) {
                    if (options_.gradients) backward(batch, outputs);
                  });
      sum_up();
    }
    finish();
    return std::move(out_);
  }

 private:
  RowChoice choice() const {
    return {.mask = batch_.mask,
            .most = std::max<std::int64_t>(1, per_batch_ * batch_.count / stream_.batch()),
            .seed = batch_.seed(context_.seed)};
  }

  bool before(const graph::Op& op, std::vector<c10::IValue>& stack) {
    const auto found = by_op_.find(op.name);
    if (found == by_op_.end()) return false;
    bool replaced = false;
    {
      const c10::NoGradGuard no_grad;
      CallReader reader(op, stack);
      for (std::size_t k : found->second) observe(out_.observed[k], op, reader);
    }
    if (!options_.gradients) return false;
    const Contraction& c = out_.observed[found->second.front()].contraction;
    if (c.kind == Kind::Product && op.base_name() == "scaled_dot_product_attention")
      replaced = attend(found->second.front(), stack);
    if (!replaced && !op.outputs.empty()) pending_[op.outputs[0]] = {&op, found->second};
    return replaced;
  }

  void observe(Observed& o, const graph::Op& op, CallReader& reader) {
    const Operands operands = reader.operands(o.contraction);
    if (!o.weight.defined()) o.weight = weight_block(o.contraction, operands.w, op).clone();
    // This batch's input may have been read for another contraction.
    if (!read_.emplace(o.input.get(), batch_.index).second) return;
    if (o.contraction.kind == Kind::Product) return observe_product(*o.input, operands);
    const at::Tensor in = samples_first(o.contraction, operands.x, o.contraction.source);
    const Rows rows = options_.full ? tap_rows(o.contraction, in, operands.w, op, choice())
                                    : channel_rows(o.contraction, in, operands.w, op, choice());
    InputMoments& m = *o.input;
    const at::Tensor& x = rows.values;
    add(m.sum, x.sum(1, false, at::kDouble));
    add(m.second, options_.full ? at::matmul(x.transpose(1, 2), x).to(at::kDouble)
                                : x.square().sum(1, false, at::kDouble));
    m.rows += static_cast<double>(x.size(1));
    m.total += rows.total;
  }

  /// `x` is what `value` held; so ordered, a padding mask and the drawn rows mean the same in every layer.
  at::Tensor samples_first(const Contraction& c, const at::Tensor& x, graph::ValueId value) const {
    return c.kind == Kind::Linear && !c.swapped && value.index >= 0 ? order_->first(x, value) : x;
  }

  // Sums over rows t of q and s of k factor: sum_ts (q_i k_i)(q_j k_j) = (Q'Q)_ij (K'K)_ij, head by head.
  void observe_product(InputMoments& m, const Operands& operands) const {
    const std::int64_t channels = operands.x.size(-1);
    const auto kept = [&](const at::Tensor& x) {
      const at::Tensor& mask = batch_.mask;
      const bool fits =
          mask.defined() && x.dim() > 2 && x.size(0) == mask.size(0) && x.size(-2) == mask.size(1);
      if (!fits) return std::pair(x, static_cast<double>(x.numel() / channels));
      std::vector<std::int64_t> shape(static_cast<std::size_t>(x.dim()), 1);
      shape[0] = x.size(0);
      shape[static_cast<std::size_t>(x.dim() - 2)] = x.size(-2);
      return std::pair(x * mask.ne(0).to(x.scalar_type()).view(shape),
                       mask.ne(0).sum().item<double>() * static_cast<double>(x.numel()) /
                           static_cast<double>(channels * mask.numel()));
    };
    const auto [q, q_rows] = kept(operands.x);
    const auto [k, k_rows] = kept(operands.w);
    const auto flat = [&](const at::Tensor& t) { return t.reshape({-1, t.size(-2), channels}); };
    const at::Tensor a = flat(q), b = flat(k);
    const auto gram = [&](const at::Tensor& x) {
      return options_.full ? at::matmul(x.transpose(1, 2), x).to(at::kDouble)
                           : x.square().sum(1, false, at::kDouble);
    };
    add(m.sum, (a.sum(1, false, at::kDouble) * b.sum(1, false, at::kDouble)).sum(0, true));
    add(m.second, (gram(a) * gram(b)).sum(0, true));
    const double rows = q_rows * k_rows / static_cast<double>(a.size(0));
    m.rows += rows;
    m.total += rows;
  }

  static void add(at::Tensor& to, const at::Tensor& what) {
    to = to.defined() ? to.add_(what) : what.clone();
  }

  // Backwards --------------------------------------------------------------------------------------------------

  void after_value(graph::ValueId value, at::Tensor& tensor) {
    const auto found = pending_.find(value);
    if (found == pending_.end() || !tensor.requires_grad()) return;
    const auto [op, observed] = found->second;
    pending_.erase(found);
    for (std::size_t k : observed) watch(k, tensor, *op);
  }

  void watch(std::size_t k, const at::Tensor& output, const graph::Op& op) {
    output.register_hook([this, k, op](const at::Tensor& gradient) { take_gradient(k, gradient, op); });
  }

  void take_gradient(std::size_t k, const at::Tensor& gradient, const graph::Op& op) {
    const c10::NoGradGuard no_grad;
    Observed& o = out_.observed[k];
    const Contraction& c = o.contraction;
    if (c.kind == Kind::Linear || c.kind == Kind::Convolution) {
      // The output's rows are those of an input whose channels are the output's.
      Contraction rows_of = c;
      rows_of.input.clear();
      const at::Tensor shape_like =
          o.weight.size(0) > 1 && c.kind == Kind::Linear
              ? o.weight.select(3, 0)
              : at::empty(std::vector<std::int64_t>(static_cast<std::size_t>(gradient.dim()), 1),
                          gradient.options());
      const at::Tensor ordered =
          c.swapped ? gradient.transpose(-1, -2) : samples_first(c, gradient, op.outputs[0]);
      const at::Tensor g = channel_rows(rows_of, ordered, shape_like, op, choice()).values;
      add(o.output_gradient, at::matmul(g.transpose(1, 2), g).to(at::kDouble));
      gradient_rows_[k] += static_cast<double>(g.size(1));
    } else {
      add(o.output_gradient, gradient.square().sum(at::kDouble).view({1, 1, 1}));
      gradient_rows_[k] += static_cast<double>(gradient.numel());
    }
  }

  // The fused op hides its scores, whose gradient is wanted: the same computation step by step.
  bool attend(std::size_t k, std::vector<c10::IValue>& stack) {
    const at::Tensor q = stack[0].toTensor(), v = stack[2].toTensor();
    at::Tensor key = stack[1].toTensor(), value = v;
    if (key.dim() > 2 && key.size(-3) != q.size(-3)) {
      key = key.repeat_interleave(q.size(-3) / key.size(-3), -3);
      value = value.repeat_interleave(q.size(-3) / value.size(-3), -3);
    }
    at::Tensor scores = at::matmul(q, key.transpose(-1, -2));
    if (scores.requires_grad()) {
      scores.register_hook([this, k](const at::Tensor& gradient) { take_gradient(k, gradient, {}); });
    }
    const auto width = static_cast<double>(q.size(-1));
    scores = scores * (stack[6].isNone() ? 1 / std::sqrt(width) : stack[6].toDouble());
    if (stack[5].toBool())
      scores = scores.masked_fill(
          at::ones({scores.size(-2), scores.size(-1)}, at::kBool).tril().logical_not(), -INFINITY);
    if (stack[3].isTensor()) {
      const at::Tensor mask = stack[3].toTensor();
      scores =
          mask.scalar_type() == at::kBool ? scores.masked_fill(mask.logical_not(), -INFINITY) : scores + mask;
    }
    stack.clear();
    stack.emplace_back(at::matmul(scores.softmax(-1), value));
    return true;
  }

  void backward(const SampleStream::Batch& batch, const std::vector<at::Tensor>& outputs) {
    {
      const c10::NoGradGuard no_grad;
      for (const at::Tensor& output : outputs)
        if (output.is_floating_point())
          out_.output_energy += output.detach().square().sum(at::kDouble).item<double>();
    }
    const c10::AutoGradMode with_grad(true);
    loss_of(options_.loss, batch, outputs, context_.seed).backward();
    pending_.clear();
  }

  /// What the other processes saw of their samples.
  void sum_up() {
    const SharedWork& work = stream_.work();
    for (const auto& [_, input] : inputs_) {
      work.sum(input->sum);
      work.sum(input->second);
      work.sum(input->rows);
      work.sum(input->total);
    }
    for (std::size_t k = 0; k < out_.observed.size(); ++k) {
      work.sum(out_.observed[k].output_gradient);
      work.sum(gradient_rows_[k]);
    }
    work.sum(out_.output_energy);
  }

  void finish() {
    out_.output_energy /= out_.samples;
    for (std::size_t k = 0; k < out_.observed.size(); ++k)
      if (out_.observed[k].output_gradient.defined()) out_.observed[k].output_gradient /= gradient_rows_[k];
    for (const auto& [_, input] : inputs_)
      if (input->second.defined()) out_.bytes += static_cast<double>(input->second.nbytes());
  }

  const ScoreContext& context_;
  const StatisticsOptions& options_;
  SampleStream stream_;
  Statistics out_;
  std::map<std::string, std::shared_ptr<InputMoments>> inputs_;
  std::map<std::string, std::vector<std::size_t>> by_op_;
  std::map<graph::ValueId, std::pair<const graph::Op*, std::vector<std::size_t>>> pending_;
  std::vector<double> gradient_rows_;
  std::set<std::pair<const InputMoments*, std::int64_t>> read_;  ///< and the batch
  SampleStream::Batch batch_;
  std::optional<SampleOrder> order_;  ///< of its values
  std::int64_t per_batch_ = 0;
};

}  // namespace

at::Tensor InputMoments::covariance(bool centred) const {
  const at::Tensor mean = sum / rows, raw = second / rows;
  if (!centred) return raw;
  return second.dim() == 2 ? raw - mean.square() : raw - mean.unsqueeze(2) * mean.unsqueeze(1);
}

Statistics gather(const ScoreContext& context, const std::vector<Contraction>& contractions,
                  const StatisticsOptions& options, const PartSeen& part_done) {
  return Gatherer(context, contractions, options).run(part_done);
}

std::vector<Consumer> consumers_of(const graph::Dependencies& d, std::size_t group,
                                   const std::vector<Contraction>& contractions) {
  std::vector<Consumer> out;
  for (std::size_t k = 0; k < contractions.size(); ++k) {
    auto channels = indices_of_units(d, contractions[k].term, d.groups[group].axis);
    bool any = false;
    for (const auto& unit : channels) any = any || !unit.empty();
    if (any) out.push_back({.observed = k, .channels = std::move(channels)});
  }
  return out;
}

}  // namespace pollard::pruning
