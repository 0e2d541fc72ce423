// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string_view>
#include <vector>

#include "models/module.h"

namespace pollard::models {

enum class Cell : std::uint8_t { Lstm, Gru, RnnTanh, RnnRelu };

/// "lstm", "gru", "rnn" (with nonlinearity "tanh" or "relu").
Cell cell_from_name(std::string_view kind, std::string_view nonlinearity = "tanh");
/// Blocks of H rows in the stacked weights: 4 (i,f,g,o), 3 (r,z,n) or 1.
std::int64_t gates(Cell cell);

struct RecurrentOptions {
  std::int64_t layers = 1;
  bool bidirectional = false;
  bool bias = true;
  bool batch_first = true;
  double dropout = 0;  ///< between layers, in train mode
};

/// A stacked recurrent network with PyTorch's parameters weight_ih_l{k}[_reverse] [gH, in], weight_hh [gH,
/// H], bias_ih, bias_hh [gH]. Fresh: all U(-1/sqrt(H), 1/sqrt(H)).
struct Recurrent : Module {
  struct Result {
    at::Tensor output;  ///< [B, T, directions * H], or [T, B, ...] without batch_first
    at::Tensor hidden;  ///< [layers * directions, B, H]
    at::Tensor cell;    ///< the same shape; undefined but for LSTM
  };

  Cell cell;
  std::int64_t hidden_size;
  RecurrentOptions options;

  Recurrent(Cell cell, std::int64_t input_size, std::int64_t hidden_size, RecurrentOptions options = {});
  /// Starts from zeros.
  Result operator()(const at::Tensor& x) const;
  Result operator()(const at::Tensor& x, const at::Tensor& h0, const at::Tensor& c0) const;
  std::int64_t directions() const { return options.bidirectional ? 2 : 1; }

 private:
  std::vector<at::Tensor>
      weights_;  ///< in the flat order at::lstm takes: layer, direction, then ih, hh, biases
};

}  // namespace pollard::models
