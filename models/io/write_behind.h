// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <future>
#include <memory>
#include <span>
#include <string>

#include "models/io/sha256.h"
#include "models/io/writer.h"

namespace pollard::models::io {

/// Hashes and writes on another thread: while one block goes to `out`, the next is filled. Blocks are aligned to
/// AtomicFile::kDirectAlignment; only the last may be shorter than `block_bytes`, which is rounded up to that.
/// What `out` throws is thrown by a later write() or by finish().
class WriteBehind final : public Writer {
 public:
  /// `out` must outlive it and is not touched by others until finish().
  WriteBehind(Writer& out, std::uint64_t block_bytes);

  void write(std::span<const std::byte> bytes) override;
  /// What is free of the present block, never empty: bytes put there go on with filled(), without a copy.
  std::span<std::byte> room();
  void filled(std::size_t bytes);
  std::uint64_t position() const override { return position_; }

  /// Writes the rest and waits for it. SHA-256 of all bytes, in lower case. Nothing may be written afterwards.
  std::string finish();

 private:
  struct Free {
    void operator()(std::byte* p) const { std::free(p); }
  };
  using Block = std::unique_ptr<std::byte, Free>;
  void hand_over();

  Writer& out_;
  std::size_t block_bytes_;
  Block blocks_[2];
  std::size_t turn_ = 0, used_ = 0;
  std::uint64_t position_ = 0;
  Sha256 digest_;
  std::future<void> behind_;  ///< last: its destructor waits, the block and the digest must still be there
};

}  // namespace pollard::models::io
