// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

#include "graph/program.h"

namespace pollard::pruning {

/// An op whose parameters are its own, and how it depends on them: what repair can solve for.
struct Layer {
  enum class Kind {
    Linear,       ///< weight [out, in]
    Transposed,   ///< weight [in, out] (addmm)
    Convolution,  ///< weight [out, in / groups, kernel..]
    Affine,       ///< a norm's scale and shift, one a channel
    Recurrent     ///< lstm, gru, rnn_tanh, rnn_relu: matrices to gate pre-activations
  } kind;
  std::size_t dense_op = 0;  ///< index into the dense program's ops
  std::string name;          ///< of the op
  std::vector<std::string>
      parameters;  ///< state-dict names: weight, then bias if any; recurrent: in the op's order
  std::string input, weight, bias;  ///< argument names in the op's schema; not for recurrent ops
  bool has_bias() const { return parameters.size() == 2; }
};

struct Inventory {
  std::map<std::string, Layer> layers;  ///< by op name: the rewritten program keeps names
  std::vector<std::string> left;        ///< "op: why it is not refitted"
};

/// The layers of a program that repair can solve for. Ops with shared or computed weights are left.
Inventory find_layers(const graph::Program& program);

}  // namespace pollard::pruning
