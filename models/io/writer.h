// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace pollard::models::io {

/// Where a file format's bytes go, front to back. Throws on failure; a caller never checks.
class Writer {
 public:
  virtual ~Writer() = default;
  virtual void write(std::span<const std::byte> bytes) = 0;
  /// Bytes written so far.
  virtual std::uint64_t position() const = 0;
};

}  // namespace pollard::models::io
