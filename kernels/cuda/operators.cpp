// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda_operators.h"

#include <ATen/ATen.h>
#include <c10/core/DeviceGuard.h>
#include <c10/cuda/CUDAStream.h>

#include "graph/error.h"
#include "kernels/cuda/cascaded_attention.h"
#include "kernels/cuda/focused_attention.h"
#include "kernels/cuda/masked_attention.h"
#include "kernels/cuda/mlstm.h"
#include "kernels/cuda/monarch.h"
#include "kernels/cuda/power_sums.h"
#include "kernels/cuda/recurrence.h"
#include "kernels/cuda/recurrence_bf16.h"
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

namespace {

/// What the inputs give the gates, for every direction: [directions, tokens, gates units].
at::Tensor projected(const DeviceLayer& parts, const at::Tensor& input, const at::Tensor& weight) {
  const std::int64_t inputs = input.size(-1), directions = weight.size(0), width = parts.gates * parts.units;
  const auto matrix = [&](std::int64_t begin, std::int64_t rows) {
    return weight.flatten(1).slice(1, begin, begin + rows * width).view({directions, rows, width});
  };
  const std::int64_t tokens =
      c10::multiply_integers(input.sizes().slice(0, static_cast<std::size_t>(input.dim() - 1)));
  const at::Tensor every = input.view({1, tokens, inputs}).expand({directions, tokens, inputs});
  return at::baddbmm(matrix(parts.biases, 1), every, matrix(parts.weight_ih, inputs)).contiguous();
}

/// The words of two bf16 of a tensor that no pair crosses.
const unsigned* words(const at::Tensor& tensor) {
  return reinterpret_cast<const unsigned*>(tensor.const_data_ptr<at::BFloat16>());
}

}  // namespace

void recurrent_layer(Cell cell, const at::Tensor& input, const at::Tensor& weight, std::int64_t hidden,
                     std::int64_t dim, const at::Tensor& output, std::int64_t offset) {
  const c10::DeviceGuard device(input.device());
  const DeviceLayer parts(cell, input.size(-1), hidden, input.scalar_type());
  const at::Tensor gates = projected(parts, input, weight);
  const std::int64_t steps = input.size(dim), tokens = gates.size(1);
  std::int64_t inner = 1;
  for (std::int64_t d = dim + 1; d + 1 < input.dim(); ++d) inner *= input.size(d);
  const auto run = [&](auto layer, void (*lstm)(const decltype(layer)&, void*),
                       void (*gru)(const decltype(layer)&, void*)) {
    layer.sequences = steps == 0 ? 0 : tokens / steps;
    layer.steps = steps;
    layer.inner = inner;
    layer.hidden = hidden;
    layer.directions = weight.size(0);
    layer.output_width = output.size(-1);
    layer.output_offset = offset;
    (cell == Cell::Lstm ? lstm : gru)(layer, stream_of(input));
  };
  if (input.scalar_type() == at::kFloat) {
    const float* const packed = weight.const_data_ptr<float>();
    run(Recurrence{.gates = gates.const_data_ptr<float>(),
                   .weight_hh = packed,
                   .bias_hn = packed + parts.bias_hn,
                   .weight_stride = parts.size,
                   .output = output.mutable_data_ptr<float>()},
        lstm_recurrence, gru_recurrence);
  } else {
    run(RecurrenceBf16{.gates = words(gates),
                       .weight_hh = words(weight),
                       .bias_hn = words(weight) + parts.bias_hn / 2,
                       .weight_stride = parts.size / 2,
                       .output = reinterpret_cast<std::uint16_t*>(output.mutable_data_ptr<at::BFloat16>())},
        lstm_recurrence_bf16, gru_recurrence_bf16);
  }
  check_launch();
}

at::Tensor focused_attention(const at::Tensor& q_given, const at::Tensor& k_given, const at::Tensor& v_given,
                             const at::Tensor& gain_given, FocusedOptions o) {
  const c10::DeviceGuard device(q_given.device());
  const auto dense = [](const at::Tensor& t) { return t.stride(2) == 1 ? t : t.contiguous(); };
  const at::Tensor q = dense(q_given), k = dense(k_given), v = dense(v_given), gain = gain_given.contiguous();
  const auto rows = [](const at::Tensor& t) {
    return BatchedRows{t.const_data_ptr<float>(), t.size(1), t.stride(0), t.stride(1)};
  };
  const at::Tensor out = at::empty({q.size(0), q.size(1), v.size(2)}, q.options());
  FocusedAttention call{.q = rows(q),
                        .k = rows(k),
                        .v = rows(v),
                        .gain = gain.const_data_ptr<float>(),
                        .output = out.mutable_data_ptr<float>(),
                        .work = nullptr,
                        .batch = q.size(0),
                        .heads = o.heads,
                        .width = q.size(2) / o.heads,
                        .value_width = v.size(2) / o.heads,
                        .factor = o.factor};
  const at::Tensor work = at::empty({focused_work(call)}, q.options());
  call.work = work.mutable_data_ptr<float>();
  focused_attention(call, stream_of(q));
  check_launch();
  return out;
}

at::Tensor masked_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const at::Tensor& gates, const at::Tensor& mask, double scale, bool causal) {
  const c10::DeviceGuard device(q.device());
  const auto rows = [](const at::Tensor& t) {
    return HeadRows{t.const_data_ptr<float>(), t.stride(0), t.stride(1), t.stride(2)};
  };
  const at::Tensor out = at::empty({q.size(0), q.size(2), q.size(1), v.size(3)}, q.options());
  masked_attention({.q = rows(q),
                    .k = rows(k),
                    .v = rows(v),
                    .mask = mask.defined() ? rows(mask) : HeadRows{},
                    .gates = gates.const_data_ptr<float>(),
                    .output = out.mutable_data_ptr<float>(),
                    .batch = q.size(0),
                    .heads = q.size(1),
                    .queries = q.size(2),
                    .keys = k.size(2),
                    .width = q.size(3),
                    .value_width = v.size(3),
                    .scale = static_cast<float>(scale),
                    .causal = causal},
                   stream_of(q));
  check_launch();
  return out.transpose(1, 2);
}

namespace {

/// Sizes without data, of up to kMostCascadedHeads heads.
CascadedAttention sizes_of(const CascadedWeights& w, std::int64_t height, std::int64_t width) {
  const auto narrow = [](std::int64_t size) { return static_cast<int>(size); };
  CascadedAttention call{};
  call.height = narrow(height);
  call.width = narrow(width);
  call.heads = narrow(std::ssize(w.qkv));
  for (std::size_t h = 0; h < w.qkv.size(); ++h) {
    const std::int64_t keys = w.depthwise[h].size(0);
    call.head[h].read = narrow(w.qkv[h].size(1));
    call.head[h].keys = narrow(keys);
    call.head[h].given = narrow(w.qkv[h].size(0) - 2 * keys);
    call.head[h].side = narrow(w.depthwise[h].size(2));
  }
  return call;
}

}  // namespace

bool takes_cascade(const CascadedWeights& w, std::int64_t height, std::int64_t width) {
  return w.qkv.size() <= kMostCascadedHeads && takes_cascade(sizes_of(w, height, width));
}

at::Tensor cascaded_attention(const at::Tensor& given, const CascadedWeights& w, double scale) {
  const c10::DeviceGuard device(given.device());
  std::vector<at::Tensor> kept;
  const auto data = [&](const at::Tensor& t) {
    kept.push_back(t.contiguous());
    return kept.back().const_data_ptr<float>();
  };
  CascadedAttention call = sizes_of(w, given.size(2), given.size(3));
  std::int64_t joined = 0;
  for (std::size_t h = 0; h < w.qkv.size(); ++h) {
    CascadedHead& head = call.head[h];
    head.qkv = data(w.qkv[h]);
    head.qkv_bias = data(w.qkv_bias[h]);
    head.depthwise = data(w.depthwise[h]);
    head.depthwise_bias = data(w.depthwise_bias[h]);
    joined += head.given;
  }
  const at::Tensor out = at::empty({given.size(0), joined, given.size(2), given.size(3)}, given.options());
  call.input = data(given);
  call.bias = data(w.bias);
  call.output = out.mutable_data_ptr<float>();
  call.windows = given.size(0);
  call.scale = static_cast<float>(scale);
  cascaded_attention(call, stream_of(given));
  check_launch();
  return out;
}

at::Tensor monarch(const at::Tensor& given, const at::Tensor& first_given, const at::Tensor& second_given) {
  const c10::DeviceGuard device(given.device());
  const at::Tensor input = given.contiguous(), first = first_given.contiguous(),
                   second = second_given.contiguous();
  Monarch call{.input = input.const_data_ptr<float>(),
               .first = first.const_data_ptr<float>(),
               .second = second.const_data_ptr<float>(),
               .middle = nullptr,
               .output = nullptr,
               .rows = input.numel() / input.size(-1),
               .k = first.size(0),
               .q = first.size(1),
               .p = first.size(2),
               .l = second.size(0),
               .s = second.size(1),
               .r = second.size(2)};
  std::vector<std::int64_t> shape = input.sizes().vec();
  shape.back() = call.s * call.l;
  const at::Tensor out = at::empty(shape, input.options()),
                   middle = at::empty({call.rows, call.k * call.q}, input.options());
  call.middle = middle.mutable_data_ptr<float>();
  call.output = out.mutable_data_ptr<float>();
  monarch(call, stream_of(input));
  check_launch();
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
