// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <memory>

namespace pollard::kernels {

/// Memory for many tensors that are written once, in huge pages where the system grants them. A page's first touch
/// costs more than copying a page of data: with pages of 4 KiB, slicing ResNet-50's weights takes twice as long.
/// A block of 16 MiB is returned when the last of its tensors is gone.
class BlockMemory {
 public:
  BlockMemory();
  ~BlockMemory();
  BlockMemory(const BlockMemory&) = delete;
  BlockMemory& operator=(const BlockMemory&) = delete;

  /// An uninitialised contiguous CPU tensor, aligned to 64 bytes.
  at::Tensor empty(at::IntArrayRef shape, at::ScalarType dtype);

 private:
  struct Block;
  std::shared_ptr<Block> block_;
  std::size_t used_ = 0;   ///< of the block at hand
  std::size_t small_ = 0;  ///< given out by the ordinary allocator: a few tensors are no reason for a block
};

}  // namespace pollard::kernels
