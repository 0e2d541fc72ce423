// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "graph/program_edit.h"
#include "kernels/lowering/lowering.h"

namespace pollard::kernels {

/// What lowering rules work on. A rule finds a pattern by walking from an op to the makers of its arguments and
/// puts one op in the place of the last; the ops before it then have no readers and are removed between rules.
class Lowering {
 public:
  Lowering(graph::Program program, Weights weights, const LoweringOptions& options);

  graph::Program program;
  Weights weights;
  const LoweringOptions& options;

  /// Of the program as it was when the current rule began.
  const graph::UseIndex& uses() const { return *uses_; }
  /// Between rules: removes dead ops and renews the index.
  void settle();
  /// Drops inputs and weights that nothing reads.
  void drop_unread();

  graph::Op& op(std::size_t index) { return program.ops[index]; }
  const graph::Value& value(graph::ValueId id) const { return program[id]; }
  /// The op that makes the value, if `base` is its name: op("linear") of aten.linear.default.
  graph::Op* made_by(graph::ValueId id, std::string_view base);
  /// The same, when `reader` alone reads the value.
  graph::Op* made_for(graph::ValueId id, std::size_t reader, std::string_view base);
  bool only_for(graph::ValueId id, std::size_t reader) const;

  /// The weight behind a value that no run changes.
  std::optional<at::Tensor> constant(graph::ValueId id) const;
  /// A weight that is single precision on a CPU.
  std::optional<at::Tensor> float_constant(graph::ValueId id) const;
  graph::ValueId add_constant(const std::string& name, const at::Tensor& tensor);
  /// Makes an existing value a constant; the op that made it must go.
  void make_constant(graph::ValueId id, const at::Tensor& tensor);
  bool is_float(graph::ValueId id) const;

 private:
  std::string free_name(const std::string& name);

  std::set<std::string, std::less<>> names_, changing_;
  std::map<std::int32_t, std::string> constants_;  ///< value -> source
  std::optional<graph::UseIndex> uses_;
};

/// Tries `rule(index)`, which says whether it rewrote the op there, at every op in order; how many it rewrote.
template <class Rule>
std::size_t at_every_op(const Lowering& l, const Rule& rule) {
  std::size_t places = 0;
  for (std::size_t i = 0; i < l.program.ops.size(); ++i) places += rule(i) ? 1 : 0;
  return places;
}

/// The argument of the op that makes `value`, if that op is a `base`; nothing also when `value` is nothing, so that whole
/// chains are asked for in one expression.
std::optional<graph::ValueId> argument_of(Lowering& l, std::optional<graph::ValueId> value,
                                          std::string_view base, std::string_view argument = "self");

/// What a transpose of dimensions a and b, counted from the front, read.
std::optional<graph::ValueId> transposed_from(Lowering& l, std::optional<graph::ValueId> value,
                                              std::int64_t a, std::int64_t b);

/// A number an op was given under this name, or `fallback`; nothing when it was given a value of the program.
std::optional<double> number(const graph::Op& op, std::string_view argument,
                             std::optional<double> fallback = {});
/// A list of numbers; a single one stands for `count`. Nothing when one of them is a value of the program.
std::optional<std::vector<std::int64_t>> numbers(const graph::Op& op, std::string_view argument,
                                                 std::size_t count, std::int64_t fallback);
graph::Arg to_arg(const std::vector<std::int64_t>& numbers);
/// Of a packed layer.
std::string activation(const graph::Op& layer);

// The rules, by file.
std::size_t write_out_operators(Lowering& l);      // operators.cpp
std::size_t fold_filled_memory(Lowering& l);       // constants.cpp
std::size_t make_functional(Lowering& l);          // cleanup.cpp
std::size_t drop_identities(Lowering& l);          // cleanup.cpp
std::size_t fold_constants(Lowering& l);           // constants.cpp
std::size_t fold_batch_norms(Lowering& l);         // convolution.cpp
std::size_t pack_convolutions(Lowering& l);        // convolution.cpp
std::size_t pool_by_channels(Lowering& l);         // convolution.cpp
std::size_t lay_out_channels_last(Lowering& l);    // convolution.cpp
std::size_t multiply_places(Lowering& l);          // convolution.cpp
std::size_t recognise_gelu(Lowering& l);           // gelu.cpp
std::size_t pack_linears(Lowering& l);             // linear.cpp
std::size_t pack_lstms(Lowering& l);               // recurrent.cpp
std::size_t pack_grus(Lowering& l);                // recurrent.cpp
std::size_t scan_maps(Lowering& l);                // recurrent.cpp
std::size_t fuse_mlstms(Lowering& l);              // mlstm.cpp
std::size_t fuse_focused_attention(Lowering& l);   // focused.cpp
std::size_t fuse_cascaded_attention(Lowering& l);  // cascaded.cpp
std::size_t fuse_activations(Lowering& l);         // fusion.cpp
std::size_t fuse_sums(Lowering& l);                // fusion.cpp
std::size_t reuse_memory(Lowering& l);             // fusion.cpp

}  // namespace pollard::kernels
