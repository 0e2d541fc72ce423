// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "graph/program.h"

namespace pollard::pruning {

/// Consecutive ops as a program of their own. Tensors that earlier segments made come in as user inputs; numbers (sizes)
/// are computed again from the tensors they belong to.
struct Segment {
  graph::Program program;
  std::vector<graph::ValueId>
      in;  ///< of the whole program: its own inputs and earlier results, in call order
  std::vector<graph::ValueId> out;  ///< results that later segments or the caller want, in order
  std::size_t end = 0;              ///< ops of the whole program that have run after it
};

/// A program in parts that run one after another, each with few weights: how a network larger than memory is run.
class Segments {
 public:
  /// Cuts so that a part's weights, as f32, stay within `weight_bytes` (one op's may be more), where the fewest bytes of
  /// activations cross. A program that writes in place stays whole: a cut could part an alias from its memory.
  Segments(const graph::Program& program, std::uint64_t weight_bytes);

  std::size_t size() const { return ends_.size(); }
  /// `program`: the one the constructor got, or one with the same ops at another batch size.
  Segment segment(const graph::Program& program, std::size_t index) const;
  /// The last segment that reads the value; nothing when none does or the caller wants it.
  bool is_last_reader(graph::ValueId value, std::size_t segment) const;

 private:
  struct Needs {
    std::vector<std::size_t> ops;      ///< its own, after those before it that make the numbers it reads
    std::vector<graph::ValueId> read;  ///< tensors from before
  };
  Needs needs_of(const graph::Program& program, std::size_t index) const;

  std::vector<std::size_t> ends_;          ///< by segment
  std::vector<std::int64_t> makers_;       ///< op, by value; -1 for inputs
  std::vector<std::int32_t> last_reader_;  ///< segment, by value; -1 none
};

}  // namespace pollard::pruning
