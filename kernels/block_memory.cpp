// SPDX-License-Identifier: Apache-2.0
#include "kernels/block_memory.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <new>

#include "kernels/huge_pages.h"
#include "kernels/poison.h"

namespace pollard::kernels {
namespace {

constexpr std::size_t kBlock = std::size_t{16} << 20, kAlign = 64;
constexpr std::size_t kWorthABlock = std::size_t{2} << 20;

}  // namespace

struct BlockMemory::Block {
  explicit Block(std::size_t bytes) : pages(rounded_up(bytes, kHugePage)) {
    if (!pages.data()) throw std::bad_alloc();
    poison(pages.data(), pages.bytes());
  }

  HugePages pages;
};

BlockMemory::BlockMemory() = default;
BlockMemory::~BlockMemory() = default;

at::Tensor BlockMemory::empty(at::IntArrayRef shape, at::ScalarType dtype) {
  std::size_t bytes = c10::elementSize(dtype);
  for (const std::int64_t size : shape) bytes *= static_cast<std::size_t>(size);
  bytes = rounded_up(bytes, kAlign);
  if (bytes == 0 || small_ + bytes <= kWorthABlock) {
    small_ += bytes;
    return at::empty(shape, dtype);
  }
  if (!block_ || used_ + bytes > kBlock) {
    block_ = std::make_shared<Block>(std::max(bytes + kRedZone, kBlock));
    used_ = 0;
  }
  char* data = static_cast<char*>(block_->pages.data()) + used_;
  unpoison(data, bytes);
  used_ += bytes + kRedZone;
  return at::from_blob(
      data, shape, [block = block_](void*) {}, at::TensorOptions().dtype(dtype));
}

}  // namespace pollard::kernels
