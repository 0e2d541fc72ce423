// SPDX-License-Identifier: Apache-2.0
#include "models/layers/linear.h"

#include <ATen/ops/embedding.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/matmul.h>

namespace pollard::models {

Linear::Linear(std::int64_t in, std::int64_t out, Bias with_bias) {
  parameter("weight", weight, {out, in}, Init::inverse_sqrt(in));
  if (with_bias == Bias::Yes) parameter("bias", bias, {out}, Init::inverse_sqrt(in));
}
at::Tensor Linear::operator()(const at::Tensor& x) const { return at::linear(x, weight, bias); }

Conv1DLinear::Conv1DLinear(std::int64_t in, std::int64_t out) {
  parameter("weight", weight, {in, out}, Init::normal(0.02));
  parameter("bias", bias, {out});
}
at::Tensor Conv1DLinear::operator()(const at::Tensor& x) const { return at::matmul(x, weight).add(bias); }

Embedding::Embedding(std::int64_t rows, std::int64_t width, std::int64_t padding)
    : count(rows), padding_idx(padding) {
  parameter("weight", weight, {rows, width}, Init::normal(1));
}
at::Tensor Embedding::operator()(const at::Tensor& ids) const {
  return at::embedding(weight, ids, padding_idx);
}

}  // namespace pollard::models
