// SPDX-License-Identifier: Apache-2.0
#include "models/io/cancel.h"

#include <poll.h>
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

/// A second signal is ending the process: no file is made any more.
std::atomic<bool> ending{false};

/// A path the handler can read at any moment: fixed memory, armed only when the file is there.
struct Slot {
  enum State : int { Free, Creating, Armed };
  std::atomic<int> state{Free};
  std::array<char, 4096> path{};
};
constexpr std::size_t kSlots = 8;
std::array<Slot, kSlots> slots;

/// Only async-signal-safe calls. A thread that creates a file holds signals back, so what is waited for here is always
/// another thread; not for ever, since its disk may hang.
void remove_file_of(const Slot& slot) {
  constexpr int kWaits = 500, kMilliseconds = 2;
  for (int i = 0; i < kWaits && slot.state.load() == Slot::Creating; ++i) ::poll(nullptr, 0, kMilliseconds);
  if (slot.state.load() == Slot::Armed) ::unlink(slot.path.data());
}

extern "C" void pollard_on_signal(int number) {
  if (!requested.exchange(true)) return;
  ending.store(true);
  for (const Slot& slot : slots) remove_file_of(slot);
  std::signal(number, SIG_DFL);
  std::raise(number);  // delivered when the handler returns
}

/// What install_cancel_signals() catches, held back from this thread.
class SignalsHeld {
 public:
  SignalsHeld() {
    sigset_t caught;
    sigemptyset(&caught);
    for (const int number : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&caught, number);
    ::pthread_sigmask(SIG_BLOCK, &caught, &before_);
  }
  ~SignalsHeld() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsHeld(const SignalsHeld&) = delete;
  SignalsHeld& operator=(const SignalsHeld&) = delete;

 private:
  sigset_t before_;
};

/// A slot in which `path` stands, in state Creating; kSlots where there is none.
std::size_t take_slot(const std::string& path) {
  if (path.size() >= slots[0].path.size()) return kSlots;
  for (std::size_t i = 0; i < kSlots; ++i) {
    int expected = Slot::Free;
    if (!slots[i].state.compare_exchange_strong(expected, Slot::Creating)) continue;
    std::memcpy(slots[i].path.data(), path.c_str(), path.size() + 1);
    return i;
  }
  return kSlots;
}

void set_state(std::size_t slot, Slot::State state) {
  if (slot < kSlots) slots[slot].state.store(state);
}

std::size_t create_recorded(const std::string& path, const std::function<bool()>& create) {
  const SignalsHeld held;
  const std::size_t slot = take_slot(path);
  if (ending.load()) {
    set_state(slot, Slot::Free);
    for (;;) ::pause();  // another thread is in the handler, whose signal ends the process
  }
  set_state(slot, create() ? Slot::Armed : Slot::Free);  // what it could not make is another's
  return slot;
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

RemoveIfKilled::RemoveIfKilled(const std::string& path, const std::function<bool()>& create)
    : slot_(create_recorded(path, create)) {}

RemoveIfKilled::~RemoveIfKilled() { set_state(slot_, Slot::Free); }

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
