// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>

namespace pollard::kernels {

/// Memory for what a program computes on a CPU, kept from one op and one run to the next, in huge pages where the system
/// grants them. malloc hands large tensors back to the system; the first touch of fresh pages of 4 KiB is a fifth of
/// LibTorch's and a tenth of a lowered program's time on ResNet-50 at batch 8.
///
/// LibTorch's CPU allocator is replaced when the library is loaded by one that asks the old one, except on threads with
/// a Scope. Never holds more than a quarter above what was alive at one moment: without that quarter, memory of a size that is
/// not needed just then goes, and comes anew. Tensors outlive this object.
class RunMemory {
 public:
  RunMemory();
  ~RunMemory();
  RunMemory(const RunMemory&) = delete;
  RunMemory& operator=(const RunMemory&) = delete;

  /// While one lives, large CPU tensors made on this thread lie there.
  class Scope {
   public:
    explicit Scope(const RunMemory& memory);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    std::shared_ptr<class MemoryPool> before_;
  };

  /// Bytes of living tensors and bytes kept for the next ones.
  std::size_t alive() const;
  std::size_t idle() const;

 private:
  std::shared_ptr<class MemoryPool> pool_;
};

}  // namespace pollard::kernels
