// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda_operators.h"

#include <ATen/ATen.h>
#include <c10/core/DeviceGuard.h>
#include <c10/cuda/CUDAStream.h>

#include "graph/error.h"
#include "kernels/cuda/lstm.h"
#include "kernels/cuda/mlstm.h"
#include "kernels/cuda/power_sums.h"
#include "kernels/cuda/slice_rows.h"

namespace pollard::kernels::cuda {
namespace {

void* stream_of(const at::Tensor& tensor) {
  return c10::cuda::getCurrentCUDAStream(tensor.device().index()).stream();
}

void check_launch() {
  const cudaError_t status = cudaGetLastError();
  POLLARD_CHECK(status == cudaSuccess, std::string("CUDA: ") + cudaGetErrorString(status));
}

at::Tensor on_device(const std::vector<std::int64_t>& numbers, at::Device device) {
  return at::tensor(numbers, at::kLong).to(device);
}

/// [4 H, H] of both directions as the recurrence reads them (lstm.h).
at::Tensor turned(const at::Tensor& forwards, const at::Tensor& backwards) {
  const std::int64_t hidden = forwards.size(1);
  const at::Tensor both = at::stack({forwards, backwards}).view({2, 4, hidden, hidden}).permute({0, 3, 2, 1});
  return at::constant_pad_nd(both, {0, 0, 0, 0, 0, lstm_weight_rows(hidden) - hidden}).contiguous();
}

/// One bidirectional layer over a map's columns or rows: writes its 2 H values of every token at `offset`.
void scan(const at::Tensor& input, at::TensorList weights, bool columns, const at::Tensor& output,
          std::int64_t offset) {
  const std::size_t per = weights.size() / 2;
  const at::Tensor weight = at::cat({weights[0], weights[per]});
  at::Tensor bias;
  if (per == 4) bias = at::cat({weights[2] + weights[3], weights[per + 2] + weights[per + 3]});
  const at::Tensor gates = at::linear(input.reshape({-1, input.size(3)}), weight, bias).contiguous();
  const at::Tensor recurrent = turned(weights[1], weights[per + 1]);
  const std::int64_t batch = input.size(0), height = input.size(1), width = input.size(2);
  lstm_recurrence({.gates = gates.const_data_ptr<float>(),
                   .weight_hh = recurrent.const_data_ptr<float>(),
                   .output = output.mutable_data_ptr<float>(),
                   .sequences = batch * (columns ? width : height),
                   .steps = columns ? height : width,
                   .inner = columns ? width : 1,
                   .hidden = weights[1].size(1),
                   .directions = 2,
                   .output_width = output.size(3),
                   .output_offset = offset},
                  stream_of(input));
  check_launch();
}

}  // namespace

at::Tensor mlstm(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& i,
                 const at::Tensor& f, double eps) {
  const c10::DeviceGuard device(q.device());
  const at::Tensor queries = q.contiguous(), keys = k.contiguous(), values = v.contiguous(),
                   enter = i.contiguous(), forget = f.contiguous();
  const std::int64_t heads = q.size(0) * q.size(1), steps = q.size(2);
  const at::Tensor out = at::empty(v.sizes(), v.options()), work = at::empty({3, heads, steps}, v.options());
  float* const memory = work.mutable_data_ptr<float>();
  mlstm(Mlstm{.q = queries.const_data_ptr<float>(),
              .k = keys.const_data_ptr<float>(),
              .v = values.const_data_ptr<float>(),
              .i = enter.const_data_ptr<float>(),
              .f = forget.const_data_ptr<float>(),
              .output = out.mutable_data_ptr<float>(),
              .g = memory,
              .top = memory + heads * steps,
              .bound = memory + 2 * heads * steps,
              .heads = heads,
              .steps = steps,
              .width = q.size(3),
              .value_width = v.size(3),
              .eps = static_cast<float>(eps)},
        stream_of(q));
  check_launch();
  return out;
}

at::Tensor bilstm2d(const at::Tensor& input, at::TensorList columns, at::TensorList rows) {
  const c10::DeviceGuard device(input.device());
  const std::int64_t first = 2 * columns[1].size(1), second = 2 * rows[1].size(1);
  at::Tensor out = at::empty({input.size(0), input.size(1), input.size(2), first + second}, input.options());
  scan(input, columns, true, out, 0);
  scan(input, rows, false, out, first);
  return out;
}

Sums power_sums(const at::Tensor& weight, std::int64_t rows, int power) {
  const c10::DeviceGuard device(weight.device());
  const std::int64_t length = weight.numel() / rows;
  const at::Tensor sums = at::empty({rows + length}, weight.options().dtype(at::kDouble)),
                   partial = at::empty({partial_sums(rows, length)}, sums.options());
  auto* const to = sums.mutable_data_ptr<double>();
  power_sums(PowerSums{.data = weight.const_data_ptr<float>(),
                       .rows = rows,
                       .length = length,
                       .power = power,
                       .row_sums = to,
                       .column_sums = to + rows,
                       .partial = partial.mutable_data_ptr<double>()},
             stream_of(weight));
  check_launch();
  const at::Tensor host = sums.cpu();
  const double* const all = host.const_data_ptr<double>();
  return {.rows = {all, all + rows}, .columns = {all + rows, all + rows + length}};
}

at::Tensor slice(const at::Tensor& tensor, const std::vector<std::int64_t>& rows,
                 const std::vector<std::int64_t>& columns, std::int64_t all_columns, std::int64_t unit,
                 at::IntArrayRef shape) {
  const c10::DeviceGuard device(tensor.device());
  const at::Tensor out = at::empty(shape, tensor.options()), row_numbers = on_device(rows, tensor.device()),
                   column_numbers = on_device(columns, tensor.device());
  slice_rows({.input = static_cast<const unsigned char*>(tensor.const_data_ptr()),
              .output = static_cast<unsigned char*>(out.mutable_data_ptr()),
              .rows = row_numbers.const_data_ptr<std::int64_t>(),
              .columns = column_numbers.const_data_ptr<std::int64_t>(),
              .row_count = std::ssize(rows),
              .column_count = std::ssize(columns),
              .input_columns = all_columns,
              .unit = unit},
             stream_of(tensor));
  check_launch();
  return out;
}

}  // namespace pollard::kernels::cuda
