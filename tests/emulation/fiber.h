// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace emulation {

/// An execution with a stack of its own, known to the sanitizer the program is built with. ThreadSanitizer is told of every
/// switch *without* synchronisation: two fibers are unordered to it, like two threads, unless release() and acquire()
/// order them. Never moved: the sanitizers keep its address.
class Fiber {
 public:
  Fiber();
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  /// From now on enter() begins `entry`, which must not return.
  void prepare(void (*entry)());
  /// From the scheduler: runs until the fiber leaves.
  void enter();
  /// From within: back to the scheduler; `finished` when it will not be entered again.
  void leave(bool finished);
  /// First thing in an entry function.
  void has_begun();

  static constexpr std::size_t kStackBytes = std::size_t{64} << 10;

 private:
  char* stack_;
  void* pointer_ = nullptr;  ///< saved stack pointer
  void* scheduler_pointer_ = nullptr;
  void* thread_sanitizer_ = nullptr;
  void* scheduler_sanitizer_ = nullptr;
  void* fake_stack_ = nullptr;  ///< AddressSanitizer's
  void* scheduler_fake_stack_ = nullptr;
  const void* scheduler_bottom_ = nullptr;
  std::size_t scheduler_size_ = 0;
};

/// What happened before a release() at an address happened before what follows an acquire() there.
void release(void* address);
void acquire(void* address);

}  // namespace emulation
