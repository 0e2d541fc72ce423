// SPDX-License-Identifier: Apache-2.0
#include "kernels/operators.h"

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/library.h>

#include <algorithm>
#include <initializer_list>
#include <limits>
#include <vector>

#include "kernels/cuda/recurrence_bf16.h"
#include "kernels/cuda_operators.h"
#include "kernels/gradients.h"
#include "kernels/recurrent/layer.h"

namespace pollard::kernels {
namespace {

// Bidirectional layers -----------------------------------------------------------------------------------------

/// A bidirectional LSTM or GRU layer's weights, as one of the operators was given them.
struct Layer {
  const char* name;  ///< of the operator
  Cell cell;
  at::TensorList weights;

  std::size_t per_direction() const { return weights.size() / 2; }
  bool biases() const { return weights.size() == 8; }
  std::int64_t hidden() const { return weights[1].size(-1); }
};

void check(const Layer& layer, std::int64_t inputs) {
  const std::int64_t gates = layer.cell == Cell::Lstm ? 4 : 3;
  TORCH_CHECK_VALUE(layer.weights.size() == 4 || layer.weights.size() == 8, layer.name,
                    ": a layer has two directions of 2 or 4 weights, got ", layer.weights.size());
  for (std::size_t k = 0; k < layer.weights.size(); ++k) {
    const std::size_t place = k % layer.per_direction();
    const at::Tensor& w = layer.weights[k];
    const bool fits = w.dim() == (place > 1 ? 1 : 2) && w.size(0) == gates * layer.hidden() &&
                      (place > 1 || w.size(1) == (place == 0 ? inputs : layer.hidden()));
    TORCH_CHECK_VALUE(fits, layer.name, ": weight ", k, " is ", w.sizes());
  }
}

/// Whether the layers' packed form can run: without gradients, all on one device in one type that has a kernel there.
bool run_packed(const at::Tensor& input, std::initializer_list<Layer> layers) {
  const at::ScalarType type = input.scalar_type();
  const auto plain = [&](const at::Tensor& t) {
    return t.device() == input.device() && t.scalar_type() == type && !follows_gradients(t);
  };
  std::int64_t most = -1;  // units; none
  if (type == at::kFloat)
    most = input.is_cuda() ? cuda::kMostUnits : std::numeric_limits<std::int64_t>::max();
  if (type == at::kBFloat16 && input.is_cuda()) most = cuda::kMostBf16Units;
  return (input.is_cpu() || input.is_cuda()) && plain(input) &&
         std::ranges::all_of(layers, [&](const Layer& layer) {
           return layer.hidden() <= most && std::ranges::all_of(layer.weights, plain);
         });
}

at::Tensor packed(const Layer& layer) {
  std::vector<Direction> directions;
  for (std::size_t k = 0; k < layer.weights.size(); k += layer.per_direction()) {
    const at::Tensor* w = &layer.weights[k];
    directions.push_back(
        {w[0], w[1], layer.biases() ? w[2] : at::Tensor(), layer.biases() ? w[3] : at::Tensor()});
  }
  return pack_layer(layer.cell, directions, layer.weights[0].device().type());
}

/// [B, T, C] to [B, T, 2 hidden].
at::Tensor by_aten(const Layer& layer, const at::Tensor& input) {
  const at::Tensor zeros = at::zeros({2, input.size(0), layer.hidden()}, input.options());
  if (layer.cell == Cell::Gru)
    return std::get<0>(at::gru(input, zeros, layer.weights, layer.biases(), 1, 0.0, false, true, true));
  return std::get<0>(
      at::lstm(input, {zeros, zeros}, layer.weights, layer.biases(), 1, 0.0, false, true, true));
}

at::Tensor along_rows(const Layer& layer, const at::Tensor& map) {
  const at::Tensor y = by_aten(layer, map.reshape({map.size(0) * map.size(1), map.size(2), map.size(3)}));
  return y.view({map.size(0), map.size(1), map.size(2), 2 * layer.hidden()});
}

struct MapLayers {
  Layer columns, rows;
  MapLayers(const char* name, Cell cell, const at::Tensor& input, at::TensorList c, at::TensorList r)
      : columns{name, cell, c}, rows{name, cell, r} {
    TORCH_CHECK_VALUE(input.dim() == 4, name, ": a map has 4 dimensions");
    check(columns, input.size(3));
    check(rows, input.size(3));
    TORCH_CHECK_VALUE(c.size() == r.size(), name, ": biases in one of two layers");
  }
  at::Tensor by_aten(const at::Tensor& input) const {
    return at::cat({along_rows(columns, input.transpose(1, 2)).transpose(1, 2), along_rows(rows, input)}, -1);
  }
  at::Tensor operator()(const at::Tensor& input) const {
    if (!run_packed(input, {columns, rows})) return by_aten(input);
    const auto op =
        c10::Dispatcher::singleton()
            .findSchemaOrThrow(
                columns.cell == Cell::Lstm ? "pollard::packed_lstm_map" : "pollard::packed_gru_map", "")
            .typed<at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&, std::int64_t,
                              std::int64_t)>();
    return op.call(input, packed(columns), packed(rows), columns.hidden(), rows.hidden());
  }
};

Layer gru_layer(const at::Tensor& input, at::TensorList weights) {
  TORCH_CHECK_VALUE(input.dim() == 3, "bigru: sequences have 3 dimensions");
  const Layer layer{"bigru", Cell::Gru, weights};
  check(layer, input.size(2));
  return layer;
}

}  // namespace

at::Tensor bilstm2d_by_aten(const at::Tensor& input, at::TensorList columns, at::TensorList rows) {
  return MapLayers("bilstm2d", Cell::Lstm, input, columns, rows).by_aten(input);
}

at::Tensor bilstm2d(const at::Tensor& input, at::TensorList columns, at::TensorList rows) {
  return MapLayers("bilstm2d", Cell::Lstm, input, columns, rows)(input);
}

at::Tensor bigru2d_by_aten(const at::Tensor& input, at::TensorList columns, at::TensorList rows) {
  return MapLayers("bigru2d", Cell::Gru, input, columns, rows).by_aten(input);
}

at::Tensor bigru2d(const at::Tensor& input, at::TensorList columns, at::TensorList rows) {
  return MapLayers("bigru2d", Cell::Gru, input, columns, rows)(input);
}

at::Tensor bigru_by_aten(const at::Tensor& input, at::TensorList weights) {
  return by_aten(gru_layer(input, weights), input);
}

at::Tensor bigru(const at::Tensor& input, at::TensorList weights) {
  const Layer layer = gru_layer(input, weights);
  if (!run_packed(input, {layer})) return by_aten(layer, input);
  static const auto op =
      c10::Dispatcher::singleton()
          .findSchemaOrThrow("pollard::packed_gru", "")
          .typed<at::Tensor(const at::Tensor&, const at::Tensor&, std::int64_t, std::int64_t)>();
  return op.call(input, packed(layer), layer.hidden(), 1);
}

TORCH_LIBRARY_FRAGMENT(pollard, library) {
  library.def("bilstm2d(Tensor input, Tensor[] columns, Tensor[] rows) -> Tensor", bilstm2d);
  library.def("bigru2d(Tensor input, Tensor[] columns, Tensor[] rows) -> Tensor", bigru2d);
  library.def("bigru(Tensor input, Tensor[] weights) -> Tensor", bigru);
}

}  // namespace pollard::kernels
