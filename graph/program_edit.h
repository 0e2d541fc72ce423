// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "graph/program.h"

namespace pollard::graph {

/// Who makes each value and who reads it: a snapshot, made anew after ops have changed.
class UseIndex {
 public:
  explicit UseIndex(const Program& program);

  /// The op that makes the value; nothing for inputs.
  std::optional<std::size_t> maker(ValueId value) const;
  /// Ops that read the value, ascending, each once.
  const std::vector<std::size_t>& readers(ValueId value) const;
  bool is_output(ValueId value) const;
  /// The op that reads the value, when it is the only one and the value is no output of the program.
  std::optional<std::size_t> only_reader(ValueId value) const;

 private:
  struct Entry {
    std::optional<std::size_t> maker;
    std::vector<std::size_t> readers;
    bool output = false;
  };
  std::vector<Entry> entries_;
};

/// Whether the op writes to an argument, by PyTorch's naming: "relu_" does, "__and__" does not.
bool writes(const Op& op);

/// Lets everything that reads `from` read `to`: the ops from index `first` on, and outputs.
void replace_uses(Program& program, ValueId from, ValueId to, std::size_t first = 0);

/// Removes ops whose results nobody reads, except those that write to their arguments or have no results at all.
void remove_dead_ops(Program& program);

}  // namespace pollard::graph
