// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

#include "graph/program.h"

namespace pollard::pruning {

/// Writes the ops that stand for one op once a layer takes another form: they keep its module and metadata, and the
/// last one makes what it made.
class StandInOps {
 public:
  /// Values are named NAME_`ending`_0, _1, ... after the op's own name.
  StandInOps(graph::Program& program, graph::Op original, std::string ending)
      : program_(program), original_(std::move(original)), ending_(std::move(ending)) {}

  const graph::Op& original() const { return original_; }

  /// One op more; `value` says everything of its result but the name and the strides.
  graph::ValueId emit(const char* target, std::vector<graph::NamedArg> args, graph::Value value);
  /// Gives the last op the original's name and result.
  std::vector<graph::Op> take();

 private:
  graph::Program& program_;
  graph::Op original_;
  std::string ending_;
  std::vector<graph::Op> ops_;
};

/// Puts the ops written for an index in place of the op there.
void splice(graph::Program& program, std::map<std::size_t, std::vector<graph::Op>> written);

}  // namespace pollard::pruning
