// SPDX-License-Identifier: Apache-2.0
#include "kernels/block_memory.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <new>

namespace pollard::kernels {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20, kBlock = std::size_t{16} << 20, kAlign = 64;
constexpr std::size_t kWorthABlock = std::size_t{2} << 20;

std::size_t rounded_up(std::size_t bytes, std::size_t to) { return (bytes + to - 1) / to * to; }

}  // namespace

struct BlockMemory::Block {
  explicit Block(std::size_t bytes) : length(rounded_up(bytes, kHugePage) + kHugePage) {
    mapping = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapping == MAP_FAILED) throw std::bad_alloc();
    data = reinterpret_cast<char*>(rounded_up(reinterpret_cast<std::uintptr_t>(mapping), kHugePage));
    madvise(data, rounded_up(bytes, kHugePage), MADV_HUGEPAGE);  // a hint; failure is fine
  }
  ~Block() { munmap(mapping, length); }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  void* mapping;
  std::size_t length;
  char* data;
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
    block_ = std::make_shared<Block>(std::max(bytes, kBlock));
    used_ = 0;
  }
  char* data = block_->data + used_;
  used_ += bytes;
  return at::from_blob(
      data, shape, [block = block_](void*) {}, at::TensorOptions().dtype(dtype));
}

}  // namespace pollard::kernels
