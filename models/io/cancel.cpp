// SPDX-License-Identifier: Apache-2.0
#include "models/io/cancel.h"

#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstring>

#include "graph/error.h"

namespace pollard::models::io {
namespace {

std::atomic<bool> requested{false};
static_assert(std::atomic<bool>::is_always_lock_free, "the handler may only touch lock-free atomics");

thread_local int holds = 0;

/// A path the handler can read at any moment: fixed memory, armed only when complete.
struct Slot {
  enum State : int { Free, Filling, Armed };
  std::atomic<int> state{Free};
  std::array<char, 4096> path{};
};
constexpr std::size_t kSlots = 8;
std::array<Slot, kSlots> slots;

extern "C" void pollard_on_signal(int number) {
  if (!requested.exchange(true)) return;
  for (const Slot& slot : slots)
    if (slot.state.load() == Slot::Armed) ::unlink(slot.path.data());
  std::signal(number, SIG_DFL);
  std::raise(number);  // delivered when the handler returns
}

std::size_t arm(const std::string& path) {
  if (path.size() >= slots[0].path.size()) return kSlots;
  for (std::size_t i = 0; i < kSlots; ++i) {
    int expected = Slot::Free;
    if (!slots[i].state.compare_exchange_strong(expected, Slot::Filling)) continue;
    std::memcpy(slots[i].path.data(), path.c_str(), path.size() + 1);
    slots[i].state.store(Slot::Armed);
    return i;
  }
  return kSlots;
}

}  // namespace

void install_cancel_signals() {
  struct sigaction action {};
  action.sa_handler = pollard_on_signal;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  struct sigaction hang_up {};
  sigaction(SIGHUP, nullptr, &hang_up);
  if (hang_up.sa_handler != SIG_IGN) sigaction(SIGHUP, &action, nullptr);  // nohup ignores it
  // A file over the size limit is then an error of write(2), which removes the temporary and says so.
  std::signal(SIGXFSZ, SIG_IGN);
}

RemoveIfKilled::RemoveIfKilled(const std::string& path) : slot_(arm(path)) {}

RemoveIfKilled::~RemoveIfKilled() {
  if (slot_ < kSlots) slots[slot_].state.store(Slot::Free);
}

bool cancel_requested() { return requested.load(std::memory_order_relaxed); }

void throw_if_cancelled() {
  if (holds == 0 && cancel_requested()) throw_cancelled();
}

void throw_cancelled() {
  throw UserError(
      {.code = "E0509", .exit = Exit::Interrupted, .message = "interrupted; nothing was written"});
}

HoldCancel::HoldCancel() { ++holds; }
HoldCancel::~HoldCancel() { --holds; }

void request_cancel(bool value) { requested.store(value, std::memory_order_relaxed); }

}  // namespace pollard::models::io
