// SPDX-License-Identifier: Apache-2.0
#include "models/layers/recurrent.h"

#include <ATen/ops/gru.h>
#include <ATen/ops/lstm.h>
#include <ATen/ops/rnn_relu.h>
#include <ATen/ops/rnn_tanh.h>
#include <ATen/ops/zeros.h>

#include <string>

#include "graph/error.h"

namespace pollard::models {

Cell cell_from_name(std::string_view kind, std::string_view nonlinearity) {
  if (kind == "lstm") return Cell::Lstm;
  if (kind == "gru") return Cell::Gru;
  POLLARD_CHECK(kind == "rnn", std::string(kind));
  return nonlinearity == "relu" ? Cell::RnnRelu : Cell::RnnTanh;
}

std::int64_t gates(Cell cell) { return cell == Cell::Lstm ? 4 : cell == Cell::Gru ? 3 : 1; }

Recurrent::Recurrent(Cell kind, std::int64_t input_size, std::int64_t hidden, RecurrentOptions o)
    : cell(kind), hidden_size(hidden), options(o) {
  const Init init = Init::inverse_sqrt(hidden);
  const std::int64_t rows = gates(kind) * hidden;
  weights_.resize(static_cast<std::size_t>(o.layers * directions() * (o.bias ? 4 : 2)));
  auto next = weights_.begin();
  for (std::int64_t layer = 0; layer < o.layers; ++layer)
    for (std::int64_t direction = 0; direction < directions(); ++direction) {
      const std::string suffix = "_l" + std::to_string(layer) + (direction ? "_reverse" : "");
      parameter("weight_ih" + suffix, *next++, {rows, layer == 0 ? input_size : directions() * hidden}, init);
      parameter("weight_hh" + suffix, *next++, {rows, hidden}, init);
      if (!o.bias) continue;
      parameter("bias_ih" + suffix, *next++, {rows}, init);
      parameter("bias_hh" + suffix, *next++, {rows}, init);
    }
}

Recurrent::Result Recurrent::operator()(const at::Tensor& x) const {
  const std::int64_t batch = x.size(options.batch_first ? 0 : 1);
  const auto zeros = [&] {
    return at::zeros({options.layers * directions(), batch, hidden_size}, x.options());
  };
  const at::Tensor h0 = zeros();
  return (*this)(x, h0, cell == Cell::Lstm ? zeros() : at::Tensor());
}

Recurrent::Result Recurrent::operator()(const at::Tensor& x, const at::Tensor& h0,
                                        const at::Tensor& c0) const {
  const auto& o = options;
  const auto run = [&](auto op, const auto& state) {
    return op(x, state, weights_, o.bias, o.layers, o.dropout, training(), o.bidirectional, o.batch_first);
  };
  const auto without_cell = [](const auto& result) {
    return Result{std::get<0>(result), std::get<1>(result), {}};
  };
  switch (cell) {
    case Cell::Lstm: {
      const auto [output, h, c] = at::lstm(x, {h0, c0}, weights_, o.bias, o.layers, o.dropout, training(),
                                           o.bidirectional, o.batch_first);
      return {output, h, c};
    }
    case Cell::Gru: return without_cell(run([](auto&&... a) { return at::gru(a...); }, h0));
    case Cell::RnnTanh: return without_cell(run([](auto&&... a) { return at::rnn_tanh(a...); }, h0));
    case Cell::RnnRelu: return without_cell(run([](auto&&... a) { return at::rnn_relu(a...); }, h0));
  }
  POLLARD_CHECK(false, "cell");
}

}  // namespace pollard::models
