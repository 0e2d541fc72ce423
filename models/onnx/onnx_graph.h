// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "graph/program.h"

namespace pollard::models::onnx {

/// The part of the ONNX format that exported networks need, as plain values: what translation (translation.h) makes and
/// onnx_file.h writes. Names connect everything: a node's input is a graph input, an initialiser or another's output.
struct Attribute {
  using Value = std::variant<std::int64_t, float, std::string, std::vector<std::int64_t>, std::vector<float>,
                             std::vector<std::string>, at::Tensor>;
  std::string name;
  Value value;
};

struct Node {
  std::string type;                 ///< "MatMul", of the standard domain
  std::vector<std::string> inputs;  ///< "" for an optional input left out
  std::vector<std::string> outputs;
  std::vector<Attribute> attributes;
  std::string name;
};

/// A graph input or output; symbolic sizes keep their expression as the dimension's name.
struct Port {
  std::string name;
  graph::DType dtype = graph::DType::Float32;
  std::vector<graph::Size> shape;
};

struct OnnxGraph {
  int opset = 17;
  std::vector<Port> inputs, outputs;
  std::vector<std::pair<std::string, at::Tensor>> initializers;  ///< contiguous, on the CPU
  std::vector<Node> nodes;                                       ///< in execution order
  std::map<std::string, std::string> metadata;
};

}  // namespace pollard::models::onnx
