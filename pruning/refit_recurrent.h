// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/ivalue.h>

#include <optional>
#include <string_view>
#include <vector>

#include "pruning/refit.h"

namespace pollard::pruning {

/// One side of the comparison: a recurrent op's arguments in schema order (input, hx, params, has_biases, num_layers,
/// dropout, train, bidirectional, batch_first).
using RecurrentArguments = std::vector<c10::IValue>;

/// For every parameter of the op, in its order, the dense indices of the rows and columns that are kept.
struct KeptParameter {
  std::vector<std::int64_t> rows, columns;
};

/// New parameters of a recurrent op, in the op's order, and the errors of its hidden states.
struct RecurrentRefit {
  std::vector<at::Tensor> parameters;
  double before = 0, after = 0;
};

/// Refits lstm, gru, rnn_tanh or rnn_relu, layer by layer and direction by direction. The targets are the dense
/// network's gate pre-activations at the kept gates, the unknowns both matrices and the input bias together:
///
///     min over W_ih, W_hh, b of | a_dense[kept] - (W_ih x_t + W_hh h_{t-1} + b) |^2 + ridge | change |^2
///
/// (the new gate of a GRU multiplies its hidden part by the reset gate, so there the two matrices are fitted apart).
/// x is what the pruned network feeds the layer; h first the dense network's kept states, then, for a second fit, the
/// states of the refitted layer itself. Of the old and both new parameters those are kept whose hidden states are
/// nearest to the dense ones. Empty when the op has projections, which are not refitted.
std::optional<RecurrentRefit> refit_recurrent(std::string_view name, const RecurrentArguments& dense,
                                              const RecurrentArguments& pruned,
                                              const std::vector<KeptParameter>& kept,
                                              const RefitOptions& options);

}  // namespace pollard::pruning
