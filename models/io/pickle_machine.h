// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "models/io/bytes.h"
#include "models/io/pickle.h"

namespace pollard::models::io::pickle {

/// The stack machine of pickle protocol 2, cut down to what torch.save writes. Iterative; every growth is
/// capped.
class Machine {
 public:
  Machine(std::vector<std::byte> bytes, const std::string& subject, const std::string& entry);
  Tree run();

 private:
  using Node = Tree::Node;

  // Opcodes, grouped: each returns false when `opcode` is not one of its own.
  bool run_scalar(std::uint8_t opcode);
  bool run_container(std::uint8_t opcode);
  bool run_memo(std::uint8_t opcode);
  bool run_object(std::uint8_t opcode);
  void step(std::uint8_t opcode);

  void push_text(std::uint64_t length);
  void push_global();
  void push_long();
  void push_float();
  void make_tuple(std::size_t count);
  void append(std::size_t count);
  void set_items(std::size_t count);
  void put(std::uint64_t index);
  void get(std::uint64_t index);
  void persistent_id();
  void reduce();
  void build();

  // Tensors.
  NodeId rebuild_tensor(std::span<const NodeId> args, bool typed);
  NodeId rebuild_parameter(std::span<const NodeId> args);
  std::optional<NodeId> rebuild_from_type(std::span<const NodeId> args);
  void check_dtype(graph::DType dtype, NodeId named) const;
  std::vector<std::int64_t> sizes(NodeId id, const char* what) const;
  std::int64_t integer(NodeId id, const char* what) const;

  // The stack.
  NodeId add(Node node);
  NodeId singleton(Kind kind, std::uint64_t payload);
  void push(NodeId id);
  NodeId pop();
  std::size_t pop_mark();
  void nest(NodeId parent, NodeId child);
  Node& node(NodeId id) { return tree_.nodes_[id]; }
  const Node& node(NodeId id) const { return tree_.nodes_[id]; }

  [[noreturn]] void malformed(std::string message) const;
  [[noreturn]] void too_much(std::string message) const;

  Tree tree_;
  Cursor cursor_;
  std::string subject_;
  std::string entry_;
  std::vector<NodeId> stack_;
  std::vector<std::size_t> marks_;
  std::vector<NodeId> memo_;
  std::set<std::string> foreign_seen_;
  std::uint64_t opcode_at_ = 0;
  bool stopped_ = false;
};

}  // namespace pollard::models::io::pickle
