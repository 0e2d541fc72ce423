// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace pollard::graph {

/// Element type of a tensor. Sizes in bytes: dtype_size().
enum class DType : std::uint8_t {
  Unknown,
  UInt8,
  Int8,
  Int16,
  Int32,
  Int64,
  UInt16,
  UInt32,
  UInt64,
  Float8E4M3,
  Float8E5M2,
  Float16,
  BFloat16,
  Float32,
  Float64,
  Complex32,
  Complex64,
  Complex128,
  Bool
};
std::string_view to_string(DType dtype);
std::optional<DType> dtype_from_string(std::string_view name);
std::int64_t dtype_size(DType dtype);
bool is_floating(DType dtype);

/// One dimension's length: a number, or a number that stands for a symbolic expression at the example input.
struct Size {
  std::int64_t hint = 0;  ///< the length at the example input; every analysis computes with it
  std::string expr;       ///< "" when fixed; otherwise the symbolic length, e.g. "s0" or "12*s0"
  bool symbolic() const { return !expr.empty(); }
  bool operator==(const Size&) const = default;
};

/// Index of a Value in Program::values.
struct ValueId {
  std::int32_t index = -1;
  auto operator<=>(const ValueId&) const = default;
};

struct Device {
  std::string type = "cpu";
  std::optional<std::int64_t> index;
  bool operator==(const Device&) const = default;
};
/// Memory layout and memory format by their PyTorch names: "strided"; "contiguous", "preserve", "channels_last".
struct Layout {
  std::string name;
  bool operator==(const Layout&) const = default;
};
struct MemoryFormat {
  std::string name;
  bool operator==(const MemoryFormat&) const = default;
};

/// An argument of an op. Integers that depend on a symbolic size are ValueIds of Int values;
/// a list may mix both (e.g. the shape of a view). monostate is None.
struct Arg {
  using List = std::vector<Arg>;
  using Variant = std::variant<std::monostate, bool, std::int64_t, double, std::string, ValueId, DType,
                               Device, Layout, MemoryFormat, List>;
  Variant value;

  Arg() = default;
  template <class T>
  requires std::constructible_from<Variant, T> Arg(T v)
      : value(std::move(v)) {}  // NOLINT(google-explicit-constructor): literals read as arguments

  template <class T>
  const T* as() const {
    return std::get_if<T>(&value);
  }
  template <class T>
  T* as() {
    return std::get_if<T>(&value);
  }
  bool is_none() const { return std::holds_alternative<std::monostate>(value); }
  bool operator==(const Arg&) const = default;
};

/// An argument under its schema name; arguments equal to their schema default may be absent.
struct NamedArg {
  std::string name;
  Arg arg;
  bool keyword = false;  ///< passed by keyword in the exported file
};

/// One call of a dispatcher op ("aten.linear.default") or a scalar op on sizes ("_operator.mul").
/// A tensor-list result (split) is flattened into `outputs`; whether it was a list is the schema's business.
struct Op {
  std::string target;  ///< namespace.name.overload
  std::vector<NamedArg> args;
  std::vector<ValueId> outputs;
  std::string name;    ///< unique node name
  std::string module;  ///< dotted path of the module that made it, "layer1.0.conv1"; may be empty
  std::map<std::string, std::string> metadata;  ///< carried through unchanged

  const Arg* find(std::string_view arg_name) const;  ///< nullptr when absent
  Arg* find(std::string_view arg_name);
  /// Sets or appends the argument.
  void set(std::string_view arg_name, Arg value, bool keyword = false);
  /// "linear" of "aten.linear.default"; in-place and leading underscores are kept ("relu_", "_to_copy").
  std::string_view base_name() const;

  // Typed access with the schema's default for an absent or None argument.
  std::int64_t int_or(std::string_view arg_name, std::int64_t fallback) const;
  bool bool_or(std::string_view arg_name, bool fallback) const;
  std::optional<ValueId> tensor(std::string_view arg_name) const;
  std::vector<ValueId> tensors(std::string_view arg_name) const;  ///< None entries are left out
};

/// What an op makes or the program receives.
struct Value {
  enum class Kind : std::uint8_t { Tensor, Int, Float, Bool, None };
  std::string name;  ///< unique
  Kind kind = Kind::Tensor;
  DType dtype = DType::Unknown;
  std::vector<Size> shape;  ///< Tensor only
  Size scalar;              ///< Int only: its value at the example input and its expression
  Device device;
  std::string layout = "strided";
  bool requires_grad = false;
  std::vector<std::int64_t> strides;      ///< at the example input; empty = contiguous
  std::vector<std::string> stride_exprs;  ///< parallel to strides; "" = fixed

  std::vector<std::int64_t> sizes() const;
  std::int64_t numel() const;
};

/// Where a program input comes from.
struct Input {
  enum class Kind : std::uint8_t { User, Parameter, Buffer, Constant };
  ValueId value;
  Kind kind = Kind::User;
  std::string source;      ///< state-dict name for all but User
  bool persistent = true;  ///< Buffer: part of the state dict
  /// The earlier source whose storage this one shares entirely (tied weights), or "".
  std::string tied_to;
  /// User inputs that are not tensors (None, an int flag) keep their constant here.
  std::optional<Arg> constant;
};

struct Output {
  enum class Kind : std::uint8_t { User, BufferMutation, InputMutation, LossOutput };
  Arg value;  ///< a ValueId, or a constant
  Kind kind = Kind::User;
  std::string target;  ///< the mutated buffer or input
};

/// A symbolic size and the range it may take.
struct Symbol {
  std::string name;
  std::optional<std::int64_t> min, max;
  std::string assumptions;  ///< as its file states them, carried through: "positive=True, integer=True"
};

/// How the flat inputs and outputs are arranged for the caller: pytree specs as JSON text, carried through unchanged.
struct CallSpec {
  std::string in_spec, out_spec;
  std::vector<std::string> forward_arg_names;
};

/// What a network computes: a straight list of ops over values (SSA; in-place ops name their result anew).
/// Weights live elsewhere, under Input::source. Everything after the front ends reads only this.
struct Program {
  std::vector<Value> values;
  std::vector<Input> inputs;  ///< parameters, buffers and constants first, then user inputs, in call order
  std::vector<Op> ops;        ///< in execution order
  std::vector<Output> outputs;
  std::vector<Symbol> symbols;
  CallSpec call;
  /// Parts of the file it came from that nothing here reads but a writer gives back, JSON text by name.
  std::map<std::string, std::string> carried;

  Value& operator[](ValueId id) { return values[static_cast<std::size_t>(id.index)]; }
  const Value& operator[](ValueId id) const { return values[static_cast<std::size_t>(id.index)]; }

  ValueId add(Value value);
  const Input* find_input(std::string_view source) const;
  std::vector<const Input*> user_inputs() const;
};

/// Throws InternalError unless names are unique, every value is defined once and before its use.
void check(const Program& program);

/// Every value an argument mentions, in order.
std::vector<ValueId> values_in(const Arg& arg);

// Canonical printed forms, one line an op:
//   %linear:f32[2,5] = aten.linear.default(input=%x, weight=%fc.weight, bias=None)
std::string to_string(const Arg& arg, const Program& program);
std::string to_string(const Value& value);
std::string to_string(const Program& program);

}  // namespace pollard::graph
