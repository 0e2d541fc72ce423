// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "models/module.h"

namespace pollard::models {

enum class Bias : bool { No, Yes };

/// y = x weight^T + bias; weight [out, in]. Fresh: U(-1/sqrt(in), 1/sqrt(in)) for both, PyTorch's default.
struct Linear : Module {
  at::Tensor weight, bias;
  Linear(std::int64_t in, std::int64_t out, Bias with_bias = Bias::Yes);
  at::Tensor operator()(const at::Tensor& x) const;
};

/// y = x weight + bias; weight [in, out], the layout of GPT-2 checkpoints. Fresh: N(0, 0.02), bias 0.
struct Conv1DLinear : Module {
  at::Tensor weight, bias;
  Conv1DLinear(std::int64_t in, std::int64_t out);
  at::Tensor operator()(const at::Tensor& x) const;
};

/// Rows of weight [count, width] by int64 ids. Fresh: N(0, 1).
struct Embedding : Module {
  at::Tensor weight;
  std::int64_t count;
  std::int64_t padding_idx;  ///< the row that gets no gradient; -1 for none
  Embedding(std::int64_t count, std::int64_t width, std::int64_t padding_idx = -1);
  at::Tensor operator()(const at::Tensor& ids) const;
};

}  // namespace pollard::models
