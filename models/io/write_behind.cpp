// SPDX-License-Identifier: Apache-2.0
#include "models/io/write_behind.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "models/io/atomic_file.h"

namespace pollard::models::io {

WriteBehind::WriteBehind(Writer& out, std::uint64_t block_bytes) : out_(out) {
  constexpr std::size_t kAlignment = AtomicFile::kDirectAlignment;
  block_bytes_ = std::max<std::size_t>(1, (block_bytes + kAlignment - 1) / kAlignment) * kAlignment;
  for (Block& block : blocks_) {
    block.reset(static_cast<std::byte*>(std::aligned_alloc(kAlignment, block_bytes_)));
    if (!block) throw std::bad_alloc();
  }
}

void WriteBehind::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const std::span<std::byte> to = room();
    const std::size_t count = std::min(bytes.size(), to.size());
    std::memcpy(to.data(), bytes.data(), count);
    filled(count);
    bytes = bytes.subspan(count);
  }
}

std::span<std::byte> WriteBehind::room() { return {blocks_[turn_].get() + used_, block_bytes_ - used_}; }

void WriteBehind::filled(std::size_t bytes) {
  used_ += bytes;
  position_ += bytes;
  if (used_ == block_bytes_) hand_over();
}

void WriteBehind::hand_over() {
  if (behind_.valid()) behind_.get();
  const std::span<const std::byte> block(blocks_[turn_].get(), std::exchange(used_, 0));
  behind_ = std::async(std::launch::async, [this, block] {
    digest_.update(block);
    out_.write(block);
  });
  turn_ ^= 1;
}

std::string WriteBehind::finish() {
  hand_over();
  behind_.get();
  return digest_.hex();
}

}  // namespace pollard::models::io
