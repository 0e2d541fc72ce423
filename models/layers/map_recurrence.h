// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

#include "models/layers/linear.h"
#include "models/layers/recurrent.h"

namespace pollard::models {

/// Mixes the tokens of a map x [B, H, W, width] by recurrence (Tatsunami and Taki, 2022, arXiv 2205.01972). BiLSTM2D
/// and its kin: "rnn_v" reads every column from top to bottom, "rnn_h" every row from left to right, and back when
/// bidirectional; one layer serves all columns, one all rows. What they say of a token is joined and "fc" makes it
/// `width` wide again. The vanilla Sequencer has one layer, "rnn", that reads the whole map row by row.
struct MapRecurrence : Module {
  enum class Scans : std::uint8_t { Concatenated, Added, Vertical, Horizontal, WholeMap };
  struct Options {
    std::int64_t width, hidden;
    Cell cell = Cell::Lstm;
    Scans scans = Scans::Concatenated;
    bool bidirectional = true, fc = true;  ///< without fc, what is joined must be `width` wide
    std::int64_t layers = 1;
    std::int64_t joined() const {
      return hidden * (bidirectional ? 2 : 1) * (scans == Scans::Concatenated ? 2 : 1);
    }
  };
  std::optional<Linear> fc;
  std::optional<Recurrent> rnn_v, rnn_h, rnn;
  Scans scans;
  explicit MapRecurrence(const Options& o);
  at::Tensor operator()(const at::Tensor& x) const;

 private:
  at::Tensor scan(const at::Tensor& x) const;
};

}  // namespace pollard::models
