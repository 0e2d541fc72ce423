// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/ivalue.h>

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "graph/program.h"

namespace pollard::kernels {

using Stack = std::vector<c10::IValue>;
/// One run's values, indexed like Program::values.
using Slots = std::vector<c10::IValue>;

/// How a run departs from what the program says.
struct CallOptions {
  std::optional<at::ScalarType> compute_type;
  at::Device device = at::kCPU;
  bool train = false;
};

/// One Op made ready to run: the operator looked up, every constant argument converted to its schema type once.
/// Throws UserError E0410 for an op that may not run or does not exist, E0412 for arguments its schema refuses.
class OpCall {
 public:
  OpCall(const graph::Op& op, const graph::Program& program);

  /// The full argument list in schema order, with values taken from `slots`.
  Stack arguments(const Slots& slots, const CallOptions& options) const;

  /// Runs on the arguments in `stack` and leaves the results there.
  void call(Stack& stack) const;

  /// Puts results into the slots of the op's outputs; a list is spread over consecutive outputs.
  /// `compute_type`: floating results of another type (made from integers) are converted.
  void store(Stack results, Slots& slots, const CallOptions& options) const;

  /// nullptr for ops on sizes, which have no schema.
  const c10::FunctionSchema* schema() const { return handle_ ? &handle_->schema() : nullptr; }
  bool composite() const;  ///< implemented by other ops, so its result may be one of its arguments
  const graph::Op& op() const { return *op_; }

 private:
  /// A literal or a value, as an element of a list argument.
  using Element = std::variant<c10::IValue, graph::ValueId>;
  enum class ListKind : std::uint8_t { Tensors, OptionalTensors, Ints, Floats, Scalars };
  struct SingleSlot {
    std::size_t position;
    graph::ValueId value;
    bool tensor, floating;
  };
  struct ListSlot {
    std::size_t position;
    ListKind kind;
    std::vector<Element> elements;
  };

  void bind_scalar_op();
  void bind_schema();
  void bind(std::size_t position, const c10::Argument& argument, const graph::Arg& arg);
  void bind_list(std::size_t position, const c10::ListType& type, std::optional<std::int32_t> fixed_length,
                 const graph::Arg& arg);
  Element element(const c10::Type& type, const graph::Arg& arg) const;
  c10::IValue literal(const c10::Type& type, const graph::Arg& arg) const;
  void find_rewritten(const graph::Program& program);
  [[noreturn]] void refuse(const std::string& why) const;

  static c10::IValue make_list(const ListSlot& list, const Slots& slots);

  const graph::Op* op_;
  std::optional<c10::OperatorHandle> handle_;
  Stack constants_;  ///< defaults and literals; places of values hold None
  std::vector<SingleSlot> singles_;
  std::vector<ListSlot> lists_;
  // Positions of arguments a run may rewrite.
  std::vector<std::size_t> dtypes_, devices_, train_flags_;
  std::optional<std::size_t> dropout_probability_;  ///< of attention: 0 when not training
  std::optional<std::size_t>
      factory_dtype_;  ///< unset dtype of an op that makes a floating tensor from nothing
};

}  // namespace pollard::kernels
