// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "graph/dependencies.h"

namespace pollard::pruning {

/// A place where a prunable dimension is summed away, so that its units' removal shows as an error of what comes out:
///
///     Y[row, o] = sum over channels c, taps t of X[row, (c, t)] W[o, (c, t)]
///
/// Linear and recurrent layers have one tap, convolutions one a kernel position. Grouped convolutions and batched weights
/// are `batch` such sums side by side that share one choice of channels. A product of two activations (query and key)
/// is the sum of channel-wise products with W = 1.
struct Contraction {
  enum class Kind : std::uint8_t { Linear, Convolution, Transposed, Recurrent, Product };
  Kind kind = Kind::Linear;
  std::size_t op = 0;        ///< index into Program::ops
  std::string name;          ///< the op's name, with "/ih0" and the like for the parts of recurrent ops
  graph::TermId term;        ///< of the channels
  graph::TermId rows;        ///< of the outputs o (all batches'); no term (index -1) where there is none
  std::string input;         ///< names the value that flows in: equal for contractions of the same X
  graph::ValueId source;     ///< that value, of a linear layer; none (-1) elsewhere
  bool intercept = false;    ///< the op adds a bias, so a constant error can be repaired
  std::size_t x = 0, w = 1;  ///< argument positions
  bool weight_transposed = false, swapped = false;  ///< W is stored [channels, o]; W stands left of X
  std::size_t part =
      0;  ///< of a recurrent op: 2 (layer x directions + direction), + 1 for the state's weights
};

/// All of them, in program order. Sums that no rule here knows (einsum, bilinear) are left out.
std::vector<Contraction> find_contractions(const graph::Program& program,
                                           const graph::Dependencies& dependencies);

/// What one call of an op shows of a contraction. In a Product, `x` and `w` are the two activations
/// [.., rows, channels].
struct Operands {
  at::Tensor
      x;  ///< as the op gets it; for recurrent ops the steps' inputs or previous states [rows.., channels]
  at::Tensor w;  ///< the weight argument
};

/// Reads the arguments of one call, detached from autograd. Recurrent ops are run layer by layer to see the states
/// between.
class CallReader {
 public:
  CallReader(const graph::Op& op, const std::vector<c10::IValue>& stack) : op_(op), stack_(stack) {}
  Operands operands(const Contraction& c);

 private:
  void run_recurrent();
  Operands cell(const Contraction& c) const;

  const graph::Op& op_;
  const std::vector<c10::IValue>& stack_;
  std::map<std::size_t, Operands> parts_;
};

/// The weight as [batch, o, channels, taps].
at::Tensor weight_block(const Contraction& c, const at::Tensor& weight, const graph::Op& op);

/// Which rows of X count: `mask` [samples, positions] (0: padding) applies where X has the same leading dimensions;
/// at most `most` rows, evenly drawn with `seed`.
struct RowChoice {
  at::Tensor mask;
  std::int64_t most = 1 << 16;
  std::uint64_t seed = 0;
};

/// `most` of `count` row numbers, ascending, the same for the same three numbers; undefined when all fit. Drawn, because even
/// steps through rows of images would see a few columns of pixels only.
at::Tensor drawn_rows(std::int64_t count, std::int64_t most, std::uint64_t seed);

/// Rows of a matrix, some of them: `values` [batch, rows, columns] of `total` rows that count.
struct Rows {
  at::Tensor values;
  double total = 0;
};
/// X as [batch, rows, channels]: what flows in, without taps.
Rows channel_rows(const Contraction& c, const at::Tensor& x, const at::Tensor& weight, const graph::Op& op,
                  const RowChoice& choice);
/// X as [batch, rows, channels x taps]: convolutions see the patch under every kernel position.
Rows tap_rows(const Contraction& c, const at::Tensor& x, const at::Tensor& weight, const graph::Op& op,
              const RowChoice& choice);

}  // namespace pollard::pruning
