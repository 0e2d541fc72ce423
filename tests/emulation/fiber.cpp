// SPDX-License-Identifier: Apache-2.0
// Compiled without -fsanitize=thread in every build: only kernel code may be seen by ThreadSanitizer.
#include "tests/emulation/fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <new>

extern "C" {
void* __tsan_get_current_fiber(void);
void* __tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void* fiber);
void __tsan_switch_to_fiber(void* fiber, unsigned flags);
void __tsan_acquire(void* address);
void __tsan_release(void* address);
void __sanitizer_start_switch_fiber(void** fake_stack, const void* bottom, std::size_t size);
void __sanitizer_finish_switch_fiber(void* fake_stack, const void** bottom, std::size_t* size);
void __asan_unpoison_memory_region(const volatile void* memory, std::size_t size);
void emulation_switch(void** save_pointer, void* to_pointer);
}

// Saves what a called function must keep, changes stacks, restores. System V x86-64.
asm(R"(
.text
.globl emulation_switch
.type emulation_switch,@function
emulation_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  subq $8, %rsp
  stmxcsr (%rsp)
  fnstcw 4(%rsp)
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  ldmxcsr (%rsp)
  fldcw 4(%rsp)
  addq $8, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size emulation_switch,.-emulation_switch
)");

namespace emulation {
namespace {

#ifdef EMULATION_TSAN
constexpr bool kThreadSanitizer = true;
#else
constexpr bool kThreadSanitizer = false;
#endif
#ifdef EMULATION_ASAN
constexpr bool kAddressSanitizer = true;
#else
constexpr bool kAddressSanitizer = false;
#endif

constexpr std::size_t kPage = 4096;
constexpr unsigned kNoSynchronisation = 1;
constexpr std::uint64_t kControlWords = 0x0000037F00001F80;  // x87 and SSE defaults

}  // namespace

Fiber::Fiber() {
  void* memory = mmap(nullptr, kStackBytes + kPage, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  mprotect(memory, kPage, PROT_NONE);  // an overflow faults
  stack_ = static_cast<char*>(memory) + kPage;
  if constexpr (kThreadSanitizer) thread_sanitizer_ = __tsan_create_fiber(0);
}

Fiber::~Fiber() {
  if constexpr (kThreadSanitizer) __tsan_destroy_fiber(thread_sanitizer_);
  munmap(stack_ - kPage, kStackBytes + kPage);
}

void Fiber::prepare(void (*entry)()) {
  // A kernel that was given up, here or at this address before, has left its frames' red zones behind.
  if constexpr (kAddressSanitizer) __asan_unpoison_memory_region(stack_, kStackBytes);
  auto** top = reinterpret_cast<void**>(stack_ + kStackBytes);
  *--top = nullptr;  // where a return address would be, so that the stack is aligned as after a call
  *--top = reinterpret_cast<void*>(entry);
  for (int i = 0; i < 6; ++i) *--top = nullptr;
  *--top = reinterpret_cast<void*>(kControlWords);
  pointer_ = top;
  fake_stack_ = nullptr;
}

void Fiber::enter() {
  if constexpr (kAddressSanitizer)
    __sanitizer_start_switch_fiber(&scheduler_fake_stack_, stack_, kStackBytes);
  if constexpr (kThreadSanitizer) {
    scheduler_sanitizer_ = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(thread_sanitizer_, kNoSynchronisation);
  }
  emulation_switch(&scheduler_pointer_, pointer_);
  if constexpr (kAddressSanitizer) __sanitizer_finish_switch_fiber(scheduler_fake_stack_, nullptr, nullptr);
}

void Fiber::leave(bool finished) {
  if constexpr (kAddressSanitizer)
    __sanitizer_start_switch_fiber(finished ? nullptr : &fake_stack_, scheduler_bottom_, scheduler_size_);
  if constexpr (kThreadSanitizer) __tsan_switch_to_fiber(scheduler_sanitizer_, kNoSynchronisation);
  emulation_switch(&pointer_, scheduler_pointer_);
  if constexpr (kAddressSanitizer)
    __sanitizer_finish_switch_fiber(fake_stack_, &scheduler_bottom_, &scheduler_size_);
}

void Fiber::has_begun() {
  if constexpr (kAddressSanitizer)
    __sanitizer_finish_switch_fiber(nullptr, &scheduler_bottom_, &scheduler_size_);
}

void release(void* address) {
  if constexpr (kThreadSanitizer) __tsan_release(address);
}
void acquire(void* address) {
  if constexpr (kThreadSanitizer) __tsan_acquire(address);
}

}  // namespace emulation
