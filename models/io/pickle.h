// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "graph/program.h"

/// What a Python pickle written by torch.save says, as a tree of descriptions. Nothing is constructed,
/// imported or called: an allow-list of opcodes and a handful of names of torch are understood, everything
/// else becomes an opaque node that carries only its name.
namespace pollard::models::io::pickle {

enum class Kind : std::uint8_t {
  None,
  Bool,
  Int,
  Float,
  String,
  Tuple,
  List,
  Dict,
  Tensor,
  Storage,  ///< a tensor's memory, outside any tensor
  Global,   ///< the bare name of a Python object: torch.float32
  Opaque    ///< an object of some other class; text() is the class
};

/// Index of a node; children are made before their parents, except in lists and dicts.
using NodeId = std::uint32_t;

/// A tensor before its memory is read. Checked here: ranks, signs and magnitudes; not checked: that it fits.
struct TensorRef {
  std::string storage;  ///< key of the archive entry data/<key>
  graph::DType dtype = graph::DType::Unknown;
  std::uint64_t storage_bytes = 0;  ///< as the pickle declares it
  std::int64_t offset = 0;          ///< elements
  std::vector<std::int64_t> shape;
  std::vector<std::int64_t> stride;  ///< elements
  std::uint64_t position = 0;        ///< byte offset in the pickle, for messages
};

class Tree {
 public:
  using Entry = std::pair<NodeId, NodeId>;  ///< key and value of a dict

  NodeId root() const { return root_; }
  Kind kind(NodeId id) const { return nodes_[id].kind; }
  bool as_bool(NodeId id) const { return nodes_[id].payload != 0; }
  std::int64_t as_int(NodeId id) const { return static_cast<std::int64_t>(nodes_[id].payload); }
  double as_float(NodeId id) const;
  /// The text of a String; the dotted name of a Global or an Opaque.
  std::string text(NodeId id) const;
  std::string_view string(NodeId id) const;
  std::span<const NodeId> items(NodeId id) const;   ///< of a Tuple or List
  std::span<const Entry> entries(NodeId id) const;  ///< of a Dict, in the file's order
  const TensorRef& tensor(NodeId id) const { return tensors_[nodes_[id].payload]; }
  std::size_t tensor_count() const { return tensors_.size(); }

  /// The value of a string key; nullopt when absent or when `id` is not a Dict.
  std::optional<NodeId> find(NodeId id, std::string_view key) const;

  /// Dotted names met that are not in the allow-list, in order, each once: "argparse.Namespace".
  const std::vector<std::string>& foreign() const { return foreign_; }

  static constexpr int kDeepest =
      64;  ///< nesting; a traversal may rely on it only together with a visit budget

 private:
  friend class Machine;
  struct Node {
    Kind kind = Kind::None;
    std::uint8_t depth = 1;
    std::uint32_t count = 0;    ///< children of a tuple, bytes of a text
    std::uint64_t payload = 0;  ///< value, or an index or offset into what follows
  };
  struct StorageRef {
    std::string key;
    graph::DType dtype;  ///< Unknown: untyped, sizes in bytes
    std::uint64_t bytes;
  };

  std::vector<std::byte> bytes_;
  std::vector<Node> nodes_;
  std::vector<NodeId> links_;  ///< children of tuples
  std::vector<std::vector<NodeId>> lists_;
  std::vector<std::vector<Entry>> dicts_;
  std::vector<TensorRef> tensors_;
  std::vector<StorageRef> storages_;
  std::vector<std::string> foreign_;
  NodeId root_ = 0;
};

/// Reads a pickle of protocol 2. `subject` names the file in messages, `entry` the archive entry.
/// Throws E0330 (malformed), E0331 (beyond a cap: 64 MiB, 4 M nodes, depth 64, 64 KiB per text), E0336
/// (another protocol), E0421 (a tensor type that is not supported; Exit::Unsupported).
Tree parse(std::vector<std::byte> bytes, const std::string& subject, const std::string& entry);

}  // namespace pollard::models::io::pickle
