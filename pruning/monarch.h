// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "models/model.h"

namespace pollard::pruning {

/// A dense matrix as the nearest Monarch matrix (Dao et al., 2022, arXiv 2204.00595): two block-diagonal matrices with a
/// permutation after each, as models/layers/monarch.h multiplies them.
struct MonarchFactors {
  at::Tensor first;   ///< [blocks, rank * blocks, in / blocks]
  at::Tensor second;  ///< [blocks, out / blocks, blocks * rank]
  double error = 0;   ///< |weight - product| / |weight|, Frobenius norms
};

/// Cut the columns of weight [out, in] into `blocks` runs and take every blocks-th row together: each of the blocks^2
/// submatrices [out / blocks, in / blocks] is replaced by its best approximation of that rank, from its singular value
/// decomposition. This minimises the Frobenius norm of the error over all Monarch matrices of these sizes.
MonarchFactors project_to_monarch(const at::Tensor& weight, std::int64_t blocks, std::int64_t rank);

struct MonarchOptions {
  std::int64_t blocks = 4;
  double keep = 0.5;                      ///< at most this share of each layer's weights stays
  std::vector<std::string> ignore, only;  ///< glob patterns on weights' names
  int inputs = 2;                         ///< example inputs the errors of outputs are measured on
  std::uint64_t seed = 0;
};

struct MonarchLayer {
  std::string weight;
  std::int64_t out = 0, in = 0, rank = 0;
  std::int64_t before = 0, after = 0;  ///< numbers stored
  double weight_error = 0;             ///< of the matrix
  double output_error = 0;             ///< |x (W - M)| / |x W| for what the original network feeds the layer
};

struct MonarchReport {
  std::vector<MonarchLayer> layers;
  std::vector<std::string> left;  ///< "head.weight: 4 blocks do not divide 10 x 768"
  double output_change = 0;       ///< of the network's floating-point outputs: |new - old| / |old|
};

/// Replaces every dense product with a 2-d weight of its own (linear, matmul, mm, addmm) whose sizes the blocks divide.
/// Weight W becomes W.monarch_first and W.monarch_second; the program multiplies by both in turn, for every batch and
/// length it took before. Throws nothing for models that pass check(); an unchanged model has an empty report.
MonarchReport to_monarch(models::Model& model, const MonarchOptions& options);

}  // namespace pollard::pruning
