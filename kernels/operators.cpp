// SPDX-License-Identifier: Apache-2.0
#include "kernels/operators.h"

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/grad_mode.h>
#include <torch/library.h>

#include <algorithm>
#include <vector>

#include "kernels/cuda_operators.h"
#include "kernels/recurrent/lstm.h"

namespace pollard::kernels {
namespace {

// BiLSTM2D -----------------------------------------------------------------------------------------------------

void check_layer(const at::Tensor& input, at::TensorList weights) {
  TORCH_CHECK_VALUE(weights.size() == 4 || weights.size() == 8,
                    "bilstm2d: a layer has two directions of 2 or 4 weights, got ", weights.size());
  const std::int64_t hidden = weights[1].size(-1);
  for (std::size_t k = 0; k < weights.size(); ++k) {
    const std::size_t place = k % (weights.size() / 2);
    const at::Tensor& w = weights[k];
    const bool fits = w.size(0) == 4 * hidden && (place > 1 ? w.dim() == 1 : w.dim() == 2) &&
                      (place > 1 || w.size(1) == (place == 0 ? input.size(3) : hidden));
    TORCH_CHECK_VALUE(fits, "bilstm2d: weight ", k, " is ", w.sizes());
  }
}

void check_map(const at::Tensor& input, at::TensorList columns, at::TensorList rows) {
  TORCH_CHECK_VALUE(input.dim() == 4, "bilstm2d: a map has 4 dimensions");
  check_layer(input, columns);
  check_layer(input, rows);
  TORCH_CHECK_VALUE(columns.size() == rows.size(), "bilstm2d: biases in one of two layers");
}

/// Without gradients and in single precision.
bool runs_plain(const at::Tensor& t) {
  return t.scalar_type() == at::kFloat && !(at::GradMode::is_enabled() && t.requires_grad());
}
bool runs_fused(const at::Tensor& t) { return t.is_cpu() && runs_plain(t); }

std::vector<LstmDirection> directions_of(at::TensorList weights) {
  const std::size_t per = weights.size() / 2;
  std::vector<LstmDirection> out;
  for (std::size_t k = 0; k < weights.size(); k += per)
    out.push_back({weights[k], weights[k + 1], per == 4 ? weights[k + 2] : at::Tensor(),
                   per == 4 ? weights[k + 3] : at::Tensor()});
  return out;
}

at::Tensor along_rows(const at::Tensor& map, at::TensorList weights) {
  const std::int64_t count = map.size(0) * map.size(1), hidden = weights[1].size(1);
  const at::Tensor zeros = at::zeros({2, count, hidden}, map.options());
  const at::Tensor y = std::get<0>(at::lstm(map.reshape({count, map.size(2), map.size(3)}), {zeros, zeros},
                                            weights, weights.size() == 8, 1, 0.0, false, true, true));
  return y.view({map.size(0), map.size(1), map.size(2), 2 * hidden});
}

// Monarch ------------------------------------------------------------------------------------------------------

/// x [rows, n, in] by blocks [n, out, in]: [n, rows, out].
at::Tensor by_block(const at::Tensor& x, const at::Tensor& blocks) {
  return at::bmm(x.transpose(0, 1), blocks.transpose(1, 2));
}

}  // namespace

at::Tensor bilstm2d_by_aten(const at::Tensor& input, at::TensorList columns, at::TensorList rows) {
  check_map(input, columns, rows);
  return at::cat({along_rows(input.transpose(1, 2), columns).transpose(1, 2), along_rows(input, rows)}, -1);
}

at::Tensor bilstm2d(const at::Tensor& input, at::TensorList columns, at::TensorList rows) {
  check_map(input, columns, rows);
  const auto on_cuda = [](const at::Tensor& t) { return runs_plain(t) && t.is_cuda(); };
  if (on_cuda(input) && std::ranges::all_of(columns, on_cuda) && std::ranges::all_of(rows, on_cuda) &&
      std::max(columns[1].size(1), rows[1].size(1)) <= cuda::kMostUnits)
    return cuda::bilstm2d(input, columns, rows);
  const bool fused =
      runs_fused(input) && std::ranges::all_of(columns, runs_fused) && std::ranges::all_of(rows, runs_fused);
  if (!fused) return bilstm2d_by_aten(input, columns, rows);
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("pollard::packed_lstm_map", "")
                             .typed<at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&,
                                               std::int64_t, std::int64_t)>();
  return op.call(input, pack_lstm(directions_of(columns)), pack_lstm(directions_of(rows)), columns[1].size(1),
                 rows[1].size(1));
}

at::Tensor monarch(const at::Tensor& input, const at::Tensor& first, const at::Tensor& second) {
  TORCH_CHECK_VALUE(input.dim() > 0 && first.dim() == 3 && second.dim() == 3 &&
                        input.size(-1) == first.size(0) * first.size(2) &&
                        first.size(0) * first.size(1) == second.size(0) * second.size(2),
                    "monarch: ", input.sizes(), " by blocks ", first.sizes(), " and ", second.sizes());
  const std::int64_t l = second.size(0), r = second.size(2);
  std::vector<std::int64_t> shape = input.sizes().vec();
  shape.back() = l * second.size(1);
  const at::Tensor a = by_block(input.reshape({-1, first.size(0), first.size(2)}), first);
  const at::Tensor read = a.transpose(0, 1).reshape({-1, r, l}).transpose(1, 2);
  return by_block(read, second).permute({1, 2, 0}).reshape(shape);
}

TORCH_LIBRARY_FRAGMENT(pollard, library) {
  library.def("bilstm2d(Tensor input, Tensor[] columns, Tensor[] rows) -> Tensor", bilstm2d);
  library.def("monarch(Tensor input, Tensor first, Tensor second) -> Tensor", monarch);
}

}  // namespace pollard::kernels
