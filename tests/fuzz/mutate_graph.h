// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "models/io/writer.h"

namespace pollard::fuzz {

/// Bytes in memory.
class TextWriter final : public models::io::Writer {
 public:
  void write(std::span<const std::byte> bytes) override {
    text.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  std::uint64_t position() const override { return text.size(); }
  std::string text;
};

/// One of a dozen small exported networks, chosen by the first byte, with changes to the JSON of its graph that the bytes
/// after it choose: another op, size, number, flag or operand; ops and arguments left out, swapped or repeated. The
/// weights stay as they are. Without further bytes: the network itself.
std::string mutated_archive(std::span<const std::uint8_t> bytes);

}  // namespace pollard::fuzz
