// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "models/io/writer.h"

namespace pollard::models::onnx {

/// One protobuf message being written: fields in the order they are added, each by its number in the public .proto.
/// A message is a list of pieces, so that gigabytes of weights are referred to and never copied; its length is known
/// before the first byte goes out, which the format asks for.
///
///     Message node;
///     node.text(4, "Relu");          // string op_type = 4
///     graph.message(1, node);        // repeated NodeProto node = 1
class Message {
 public:
  void number(int field, std::int64_t value);              ///< int32, int64, enum
  void real(int field, float value);                       ///< float
  void text(int field, std::string_view bytes);            ///< string, bytes
  void data(int field, std::span<const std::byte> bytes);  ///< bytes that outlive the message
  void message(int field, Message nested);

  std::uint64_t size() const { return size_; }
  void write(io::Writer& out) const;

 private:
  struct Piece {
    std::string own;
    std::span<const std::byte> lent;
  };
  void varint(std::uint64_t value);
  void key(int field, int wire_type);
  void append(std::string_view bytes);

  std::vector<Piece> pieces_;
  std::uint64_t size_ = 0;
};

}  // namespace pollard::models::onnx
