// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "graph/program.h"

namespace pollard::pruning::fairness {

using TokenIds = std::vector<std::int64_t>;

/// How lists of token ids become a program's inputs. The inputs are told by their names: "mask" is 1 at tokens and 0
/// at padding, "type" is 0, "position" counts from 0, any other takes the ids. Padding is on the right, where a causal
/// network does not see it. Programs exported with a fixed batch or length are given just that.
class TokenInputs {
 public:
  /// Throws UserError E0203 for a program whose inputs are not integers or masks of two dimensions.
  explicit TokenInputs(const graph::Program& program);

  std::optional<std::int64_t> fixed_batch() const { return batch_; }
  /// Most tokens of one sequence, when the program says so.
  std::optional<std::int64_t> longest() const { return longest_; }
  /// The sequences as one batch [B, T]. Throws UserError E0203 when one is longer than the program takes.
  std::vector<at::Tensor> batch(std::span<const TokenIds* const> sequences) const;
  /// The batch's mask [B, T], int64, also for a program that takes none.
  static at::Tensor mask(std::span<const TokenIds* const> sequences, std::int64_t rows, std::int64_t length);

 private:
  enum class Kind : std::uint8_t { Ids, Mask, Types, Positions };
  struct Slot {
    Kind kind;
    at::ScalarType dtype;
  };
  std::vector<Slot> slots_;
  std::optional<std::int64_t> batch_, length_, longest_;
};

}  // namespace pollard::pruning::fairness
