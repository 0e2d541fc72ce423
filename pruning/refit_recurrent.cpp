// SPDX-License-Identifier: Apache-2.0
#include "pruning/refit_recurrent.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

namespace pollard::pruning {
namespace {

at::Tensor index_tensor(const std::vector<std::int64_t>& indices) {
  return at::tensor(indices, at::TensorOptions().dtype(at::kLong));
}

/// The parameters of one layer and direction; biases are undefined where there are none.
struct Cell {
  at::Tensor w_ih, w_hh, b_ih, b_hh;
  std::vector<at::Tensor> list() const {
    if (b_ih.defined()) return {w_ih, w_hh, b_ih, b_hh};
    return {w_ih, w_hh};
  }
};

/// One side of the comparison, unpacked: batch first.
class Side {
 public:
  Side(std::string_view name, const RecurrentArguments& arguments) : name_(name) {
    input = arguments[0].toTensor();
    lstm_ = name == "lstm";
    const std::vector<at::Tensor> states =
        lstm_ ? arguments[1].toTensorVector() : std::vector<at::Tensor>{arguments[1].toTensor()};
    hidden_ = states[0];
    if (lstm_) memory_ = states[1];
    params_ = arguments[2].toTensorVector();
    biased_ = arguments[3].toBool();
    layers = arguments[4].toInt();
    directions = arguments[7].toBool() ? 2 : 1;
    if (!arguments[8].toBool()) input = input.transpose(0, 1);
  }

  std::int64_t width() const { return biased_ ? 4 : 2; }
  bool plain() const {  // no projections, batched
    return input.dim() == 3 && static_cast<std::int64_t>(params_.size()) == layers * directions * width();
  }
  Cell cell(std::int64_t index) const {
    const auto at = [&](std::int64_t k) { return params_[static_cast<std::size_t>(index * width() + k)]; };
    return {at(0), at(1), biased_ ? at(2) : at::Tensor(), biased_ ? at(3) : at::Tensor()};
  }

  /// Hidden states [n, time, H] of one layer and direction over x [n, time, in], in reading order.
  at::Tensor run(std::int64_t index, const Cell& cell, const at::Tensor& x) const {
    const at::Tensor h = hidden_.slice(0, index, index + 1).contiguous();
    const std::vector<at::Tensor> params = cell.list();
    if (lstm_) {
      const std::vector<at::Tensor> states{h, memory_.slice(0, index, index + 1).contiguous()};
      return std::get<0>(at::lstm(x, states, params, biased_, 1, 0.0, false, false, true));
    }
    if (name_ == "gru") return std::get<0>(at::gru(x, h, params, biased_, 1, 0.0, false, false, true));
    if (name_ == "rnn_relu")
      return std::get<0>(at::rnn_relu(x, h, params, biased_, 1, 0.0, false, false, true));
    return std::get<0>(at::rnn_tanh(x, h, params, biased_, 1, 0.0, false, false, true));
  }

  /// States one step earlier: the initial one first.
  at::Tensor earlier(std::int64_t index, const at::Tensor& states) const {
    const at::Tensor first = hidden_.select(0, index).unsqueeze(1);
    return at::cat({first, states.slice(1, 0, states.size(1) - 1)}, 1);
  }

  at::Tensor input;
  std::int64_t layers = 1, directions = 1;

 private:
  std::string_view name_;
  at::Tensor hidden_, memory_;
  std::vector<at::Tensor> params_;
  bool lstm_ = false, biased_ = false;
};

class RecurrentSolver {
 public:
  RecurrentSolver(std::string_view name, const RecurrentArguments& dense, const RecurrentArguments& pruned,
                  const std::vector<KeptParameter>& kept, const RefitOptions& options)
      : gru_(name == "gru"), dense_(name, dense), pruned_(name, pruned), kept_(kept), options_(options) {}

  std::optional<RecurrentRefit> solve() {
    if (!dense_.plain() || !pruned_.plain()) return std::nullopt;
    at::Tensor x_dense = dense_.input, x_pruned = pruned_.input;
    for (std::int64_t layer = 0; layer < dense_.layers; ++layer) {
      std::vector<at::Tensor> next_dense, next_pruned;
      for (std::int64_t direction = 0; direction < dense_.directions; ++direction) {
        const auto turned = [&](const at::Tensor& t) { return direction ? t.flip(1) : t; };
        const auto [h_dense, h_pruned] =
            refit_cell(layer * dense_.directions + direction, turned(x_dense), turned(x_pruned));
        next_dense.push_back(turned(h_dense));
        next_pruned.push_back(turned(h_pruned));
      }
      x_dense = at::cat(next_dense, 2);
      x_pruned = at::cat(next_pruned, 2);
    }
    return std::move(out_);
  }

 private:
  std::pair<at::Tensor, at::Tensor> refit_cell(std::int64_t index, const at::Tensor& x_dense,
                                               const at::Tensor& x_pruned) {
    const KeptParameter& kept_hh = kept_[static_cast<std::size_t>(index * dense_.width() + 1)];
    const Cell full = dense_.cell(index), sliced = pruned_.cell(index);
    const at::Tensor h_full = dense_.run(index, full, x_dense);
    const at::Tensor target = h_full.index_select(2, index_tensor(kept_hh.columns));
    const at::Tensor earlier_full = dense_.earlier(index, h_full);
    const at::Tensor rows = index_tensor(kept_hh.rows);
    const auto wanted = [&](const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
      return at::linear(x, weight, bias).index_select(2, rows);
    };
    const at::Tensor from_input = wanted(x_dense, full.w_ih, full.b_ih),
                     from_hidden = wanted(earlier_full, full.w_hh, full.b_hh);
    Cell best = sliced;
    at::Tensor h_best = pruned_.run(index, sliced, x_pruned);
    const double before = error(h_best, target);
    double least = before;
    at::Tensor earlier = earlier_full.index_select(2, index_tensor(kept_hh.columns));
    for (int round = 0; round < 3; ++round) {
      const Cell cell = fit(sliced, x_pruned, earlier, from_input, from_hidden);
      const at::Tensor h = pruned_.run(index, cell, x_pruned);
      if (const double now = error(h, target); now < least) {
        least = now;
        best = cell;
        h_best = h;
      }
      earlier = pruned_.earlier(index, h);
    }
    for (at::Tensor& parameter : best.list()) out_.parameters.push_back(parameter);
    out_.before = std::max(out_.before, before);
    out_.after = std::max(out_.after, least);
    return {h_full, h_best};
  }

  double error(const at::Tensor& got, const at::Tensor& target) const {
    at::Tensor squares =
        at::stack({(got - target).to(at::kDouble).square().sum(), target.to(at::kDouble).square().sum()});
    options_.work.sum(squares);
    const auto norm = squares[1].item<double>();
    return norm > 0 ? std::sqrt(squares[0].item<double>() / norm) : 0.0;
  }

  /// Rows of all gates are fitted jointly on [x, h]; of a GRU's new gate (the last third) on x and on h apart.
  Cell fit(const Cell& start, const at::Tensor& x, const at::Tensor& h, const at::Tensor& from_input,
           const at::Tensor& from_hidden) const {
    const std::int64_t all = start.w_ih.size(0), joint = gru_ ? all / 3 * 2 : all;
    Cell out = start;
    const auto rows = [](const at::Tensor& t, std::int64_t first, std::int64_t last) {
      return t.defined() ? t.slice(0, first, last) : t;
    };
    // The hidden bias stays as it is: the joint intercept is the sum of both.
    const at::Tensor fixed = start.b_hh.defined() ? start.b_hh.slice(0, 0, joint) : at::Tensor();
    const at::Tensor both = from_input.slice(2, 0, joint) + from_hidden.slice(2, 0, joint);
    const Refit gates =
        refit_linear(at::cat({x, h}, 2), at::cat({rows(start.w_ih, 0, joint), rows(start.w_hh, 0, joint)}, 1),
                     rows(start.b_ih, 0, joint), fixed.defined() ? both - fixed : both, options_);
    std::vector<at::Tensor> w_ih{gates.weight.slice(1, 0, x.size(2))}, w_hh{gates.weight.slice(1, x.size(2))},
        b_ih{gates.bias}, b_hh{fixed};
    if (joint < all) {
      const Refit input_part = refit_linear(x, rows(start.w_ih, joint, all), rows(start.b_ih, joint, all),
                                            from_input.slice(2, joint), options_);
      const Refit hidden_part = refit_linear(h, rows(start.w_hh, joint, all), rows(start.b_hh, joint, all),
                                             from_hidden.slice(2, joint), options_);
      w_ih.push_back(input_part.weight);
      w_hh.push_back(hidden_part.weight);
      b_ih.push_back(input_part.bias);
      b_hh.push_back(hidden_part.bias);
    }
    const auto joined = [](std::vector<at::Tensor> parts, const at::Tensor& like) {
      for (at::Tensor& part : parts) part = part.to(like.scalar_type());
      return at::cat(parts, 0).contiguous();
    };
    out.w_ih = joined(w_ih, start.w_ih);
    out.w_hh = joined(w_hh, start.w_hh);
    if (start.b_ih.defined()) {
      out.b_ih = joined(b_ih, start.b_ih);
      out.b_hh = joined(b_hh, start.b_hh);
    }
    return out;
  }

  bool gru_;
  Side dense_, pruned_;
  const std::vector<KeptParameter>& kept_;
  RefitOptions options_;
  RecurrentRefit out_;
};

}  // namespace

std::optional<RecurrentRefit> refit_recurrent(std::string_view name, const RecurrentArguments& dense,
                                              const RecurrentArguments& pruned,
                                              const std::vector<KeptParameter>& kept,
                                              const RefitOptions& options) {
  return RecurrentSolver(name, dense, pruned, kept, options).solve();
}

}  // namespace pollard::pruning
