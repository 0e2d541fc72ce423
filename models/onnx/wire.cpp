// SPDX-License-Identifier: Apache-2.0
#include "models/onnx/wire.h"

#include <bit>
#include <utility>

namespace pollard::models::onnx {
namespace {

constexpr int kVarint = 0, kLengthDelimited = 2, kFixed32 = 5;

}  // namespace

void Message::append(std::string_view bytes) {
  if (pieces_.empty() || !pieces_.back().lent.empty()) pieces_.emplace_back();
  pieces_.back().own.append(bytes);
  size_ += bytes.size();
}

void Message::varint(std::uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes.push_back(static_cast<char>(value | 0x80));
  bytes.push_back(static_cast<char>(value));
  append(bytes);
}

void Message::key(int field, int wire_type) {
  varint(static_cast<std::uint64_t>(field) << 3 | static_cast<std::uint64_t>(wire_type));
}

void Message::number(int field, std::int64_t value) {
  key(field, kVarint);
  varint(static_cast<std::uint64_t>(value));
}

void Message::real(int field, float value) {
  key(field, kFixed32);
  const auto bits = std::bit_cast<std::uint32_t>(value);
  std::string bytes;
  for (int shift = 0; shift < 32; shift += 8) bytes.push_back(static_cast<char>(bits >> shift & 0xFF));
  append(bytes);
}

void Message::text(int field, std::string_view bytes) {
  key(field, kLengthDelimited);
  varint(bytes.size());
  append(bytes);
}

void Message::data(int field, std::span<const std::byte> bytes) {
  key(field, kLengthDelimited);
  varint(bytes.size());
  if (bytes.empty()) return;
  pieces_.push_back({.own = {}, .lent = bytes});
  size_ += bytes.size();
}

void Message::message(int field, Message nested) {
  key(field, kLengthDelimited);
  varint(nested.size_);
  for (Piece& piece : nested.pieces_)
    if (piece.lent.empty())
      append(piece.own);
    else
      pieces_.push_back(std::move(piece)), size_ += pieces_.back().lent.size();
}

void Message::write(io::Writer& out) const {
  for (const Piece& piece : pieces_)
    out.write(piece.lent.empty() ? std::as_bytes(std::span(piece.own)) : piece.lent);
}

}  // namespace pollard::models::onnx
