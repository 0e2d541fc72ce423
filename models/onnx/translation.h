// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "graph/program.h"
#include "kernels/executor.h"
#include "models/onnx/onnx_graph.h"

namespace pollard::models::onnx {

using Name = std::string;  ///< of a tensor in the ONNX graph
using Names = std::vector<Name>;
using Attributes = std::vector<Attribute>;
using Ints = std::vector<std::int64_t>;

/// A program on its way to ONNX. It walks the ops in order; the rule of each (rules.h) reads its arguments here, adds
/// nodes, and says which tensor is the result:
///
///     void translate_square(Translation& t, const OnnxRule&) {
///       t.result(t.node("Mul", {t.in("self"), t.in("self")}));
///     }
///
/// Sizes that are symbolic become int64 tensors of one element, so that a shape is a Concat of them.
class Translation {
 public:
  Translation(const graph::Program& program, const kernels::Weights& weights, int opset);

  /// Throws UserError E0470 for an op, or a use of one, that ONNX has no words for.
  OnnxGraph run();

  // The op at hand.
  const graph::Op& op() const { return *op_; }
  const graph::Value& value(graph::ValueId id) const { return program_[id]; }
  graph::ValueId id(std::string_view argument) const;  ///< a tensor argument that must be there
  const graph::Value& operand(std::string_view argument) const { return value(id(argument)); }
  const graph::Value& output(std::size_t index = 0) const { return value(op_->outputs.at(index)); }
  std::int64_t rank(std::string_view argument) const;
  double real(std::string_view argument, double fallback) const;
  /// A list of `count` integers that must be numbers; one stands for all; absent or empty gives `fallback`.
  Ints ints(std::string_view argument, std::size_t count, std::int64_t fallback) const;
  /// Dimensions as positions from the front; one or a list; absent or empty gives all of them.
  Ints dims(std::string_view argument, std::int64_t rank) const;
  std::int64_t dim(std::string_view argument, std::int64_t rank, std::int64_t fallback) const;
  int opset() const { return graph_.opset; }
  [[noreturn]] void refuse(const std::string& why) const;

  // Tensors there are.
  Name in(std::string_view argument);
  Name in(graph::ValueId id);
  std::optional<Name> maybe(std::string_view argument);
  /// The tensor argument converted to `dtype`.
  Name in_as(std::string_view argument, graph::DType dtype);
  /// An argument that is a tensor, a number or a size, as `dtype`.
  Name number_as(const graph::Arg& arg, graph::DType dtype);
  /// A weight that no op computes, or nothing.
  std::optional<at::Tensor> weight(graph::ValueId id) const;

  // New tensors.
  Name constant(const at::Tensor& tensor, std::string_view what = "constant");
  Name list(const Ints& values);                  ///< int64 [n]
  Name scalar(double value, graph::DType dtype);  ///< a tensor without dimensions
  Name filled(const Name& shape, double value, graph::DType dtype);
  Name node(std::string_view type, Names inputs, Attributes attributes = {});
  Names node(std::string_view type, Names inputs, std::size_t outputs, Attributes attributes);
  Name cast(const Name& name, graph::DType from, graph::DType to);
  /// Sum, maximum, ... over dimensions, whichever way the opset wants them.
  Name reduce(std::string_view type, const Name& name, const Ints& dims, bool keep);

  // Sizes: int64 tensors of one element.
  Name size(graph::ValueId tensor, std::int64_t dim);
  Name size(const graph::Arg& arg);
  Names sizes(const graph::Arg& list);
  Names sizes(graph::ValueId tensor, std::int64_t from, std::int64_t to);  ///< of dimensions [from, to)
  Name join(const Names& sizes);                                           ///< one shape
  Name element(const Name& size);                                          ///< without its dimension
  Name reshape(const Name& name, const Names& sizes);
  Name unsqueeze(const Name& name, const Ints& dims);
  Name squeeze(const Name& name, const Ints& dims);
  Name transpose(const Name& name, const Ints& order);
  Name slice(const Name& name, std::int64_t dim, const Name& start, const Name& end, const Name& step = {});

  /// Says that output `index` of the op is this tensor.
  void result(const Name& name, std::size_t index = 0);

 private:
  Name fresh(std::string_view base);
  void bind_inputs();
  void translate(const graph::Op& op);
  void bind_outputs();
  std::optional<Ints> known(const Name& name) const;

  const graph::Program& program_;
  const kernels::Weights& weights_;
  OnnxGraph graph_;
  const graph::Op* op_ = nullptr;
  std::size_t first_node_ = 0;          ///< of this op
  std::map<std::int32_t, Name> names_;  ///< value -> tensor
  std::map<std::int32_t, const graph::Input*> weight_inputs_;
  std::map<std::string, Name> shared_;  ///< constants by their content, weights by their source
  std::map<Name, Ints> literals_;       ///< lists whose content is known
  std::set<Name> taken_;
};

}  // namespace pollard::models::onnx
