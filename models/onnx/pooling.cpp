// SPDX-License-Identifier: Apache-2.0
#include <ATen/ops/zeros.h>

#include <array>
#include <string>

#include "models/onnx/rules.h"

namespace pollard::models::onnx {
namespace {

Ints both_sides(const Ints& padding) {
  Ints out = padding;
  out.insert(out.end(), padding.begin(), padding.end());
  return out;
}

/// How many trailing dimensions the op pools over: the digit in its name.
std::size_t spatial_of(const Translation& t) {
  const std::string_view name = t.op().base_name();
  return static_cast<std::size_t>(name[name.find("pool") + 4] - '0');
}

/// Pools with the batch that PyTorch lets callers leave out.
void pool(Translation& t, std::string_view type, std::size_t spatial, Attributes attributes) {
  const bool single = t.rank("self") == static_cast<std::int64_t>(spatial) + 1;
  const Name x = single ? t.unsqueeze(t.in("self"), {0}) : t.in("self");
  const Name y = t.node(type, {x}, std::move(attributes));
  t.result(single ? t.squeeze(y, {0}) : y);
}

Attributes window(Translation& t, std::size_t spatial) {
  const Ints kernel = t.ints("kernel_size", spatial, 1);
  const graph::Arg* given = t.op().find("stride");
  const auto* list = given ? given->as<graph::Arg::List>() : nullptr;
  const bool absent = !given || given->is_none() || (list && list->empty());
  return {{"kernel_shape", kernel},
          {"strides", absent ? kernel : t.ints("stride", spatial, 1)},
          {"pads", both_sides(t.ints("padding", spatial, 0))},
          {"ceil_mode", std::int64_t{t.op().bool_or("ceil_mode", false)}}};
}

void max_pool(Translation& t, const OnnxRule&) {
  const std::size_t spatial = spatial_of(t);
  Attributes attributes = window(t, spatial);
  attributes.push_back({"dilations", t.ints("dilation", spatial, 1)});
  pool(t, "MaxPool", spatial, std::move(attributes));
}

void average_pool(Translation& t, const OnnxRule&) {
  const std::size_t spatial = spatial_of(t);
  const graph::Arg* divisor = t.op().find("divisor_override");
  if (divisor && !divisor->is_none()) t.refuse("averages with a divisor of their own");
  Attributes attributes = window(t, spatial);
  attributes.push_back({"count_include_pad", std::int64_t{t.op().bool_or("count_include_pad", true)}});
  pool(t, "AveragePool", spatial, std::move(attributes));
}

/// Row i averages the window that PyTorch gives output i: [floor(i n / m), ceil((i + 1) n / m)).
at::Tensor averaging(std::int64_t outputs, std::int64_t inputs, graph::DType dtype) {
  at::Tensor matrix = at::zeros({outputs, inputs}, kernels::to_scalar_type(dtype));
  for (std::int64_t i = 0; i < outputs; ++i) {
    const std::int64_t first = i * inputs / outputs, end = ((i + 1) * inputs + outputs - 1) / outputs;
    matrix.slice(1, first, end).select(0, i).fill_(1.0 / static_cast<double>(end - first));
  }
  return matrix;
}

/// Windows that do not divide the map: one product a dimension.
Name average_by_products(Translation& t, Name x, std::int64_t first_dim) {
  const auto rank = t.rank("self");
  for (std::int64_t d = first_dim; d < rank; ++d) {
    const auto at = static_cast<std::size_t>(d);
    const graph::Size& from = t.operand("self").shape[at];
    if (from.symbolic()) t.refuse("adaptive pooling of a map whose size is not fixed");
    const at::Tensor matrix = averaging(t.output().shape[at].hint, from.hint, t.output().dtype);
    if (d == rank - 1)
      x = t.node("MatMul", {x, t.constant(matrix.t())});
    else
      x = t.node("MatMul", {t.constant(matrix), x});
  }
  return x;
}

void adaptive_pool(Translation& t, const OnnxRule& rule) {
  const auto rank = t.rank("self"), spatial = static_cast<std::int64_t>(spatial_of(t)),
             first = rank - spatial;
  Ints dims, kernel;
  bool whole = true, even = true;
  for (std::int64_t d = first; d < rank; ++d) {
    const auto at = static_cast<std::size_t>(d);
    const graph::Size &from = t.operand("self").shape[at], &to = t.output().shape[at];
    dims.push_back(d);
    whole = whole && to.hint == 1 && !to.symbolic();
    even = even && !from.symbolic() && from.hint % to.hint == 0;
    kernel.push_back(even ? from.hint / to.hint : 1);
  }
  const bool maximum = rule.type == "Max";
  if (whole) return t.result(t.reduce(maximum ? "ReduceMax" : "ReduceMean", t.in("self"), dims, true));
  if (even)
    return pool(t, maximum ? "MaxPool" : "AveragePool", static_cast<std::size_t>(spatial),
                {{"kernel_shape", kernel}, {"strides", kernel}});
  if (maximum || spatial > 2) t.refuse("adaptive pooling whose windows do not divide the map");
  t.result(average_by_products(t, t.in("self"), first));
}

constexpr auto kRules = std::to_array<OnnxRule>({
    {"_adaptive_avg_pool2d", adaptive_pool, "Average"},
    {"adaptive_avg_pool1d", adaptive_pool, "Average"},
    {"adaptive_avg_pool2d", adaptive_pool, "Average"},
    {"adaptive_avg_pool3d", adaptive_pool, "Average"},
    {"adaptive_max_pool1d", adaptive_pool, "Max"},
    {"adaptive_max_pool2d", adaptive_pool, "Max"},
    {"avg_pool1d", average_pool},
    {"avg_pool2d", average_pool},
    {"avg_pool3d", average_pool},
    {"max_pool1d", max_pool},
    {"max_pool2d", max_pool},
    {"max_pool2d_with_indices", max_pool},
    {"max_pool3d", max_pool},
});

}  // namespace

std::span<const OnnxRule> pooling_rules() { return kRules; }

}  // namespace pollard::models::onnx
