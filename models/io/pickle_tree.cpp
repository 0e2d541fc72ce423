// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>

#include "models/io/bytes.h"
#include "models/io/pickle.h"

namespace pollard::models::io::pickle {

double Tree::as_float(NodeId id) const { return std::bit_cast<double>(nodes_[id].payload); }

std::string_view Tree::string(NodeId id) const {
  const Node& node = nodes_[id];
  return as_text(std::span(bytes_).subspan(node.payload, node.count));
}

std::string Tree::text(NodeId id) const {
  if (nodes_[id].kind == Kind::Opaque && nodes_[id].count == 0) return "int beyond 64 bits";
  std::string out(string(id));
  // GLOBAL holds "module\nname".
  if (nodes_[id].kind != Kind::String) std::replace(out.begin(), out.end(), '\n', '.');
  return out;
}

std::span<const NodeId> Tree::items(NodeId id) const {
  const Node& node = nodes_[id];
  if (node.kind == Kind::Tuple) return std::span(links_).subspan(node.payload, node.count);
  if (node.kind == Kind::List && node.count > 0) return lists_[node.payload];
  return {};
}

std::span<const Tree::Entry> Tree::entries(NodeId id) const {
  const Node& node = nodes_[id];
  if (node.kind == Kind::Dict && node.count > 0) return dicts_[node.payload];
  return {};
}

std::optional<NodeId> Tree::find(NodeId id, std::string_view key) const {
  for (const auto& [name, value] : entries(id))
    if (kind(name) == Kind::String && string(name) == key) return value;
  return std::nullopt;
}

}  // namespace pollard::models::io::pickle
