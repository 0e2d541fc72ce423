// SPDX-License-Identifier: Apache-2.0
#include "models/io/cancel.h"

#include <csignal>

#include <atomic>

#include "graph/error.h"

namespace pollard::models::io {
namespace {

std::atomic<bool> requested{false};
static_assert(std::atomic<bool>::is_always_lock_free, "the handler may only touch lock-free atomics");

extern "C" void pollard_on_signal(int) { requested.store(true, std::memory_order_relaxed); }

}  // namespace

void install_cancel_signals() {
  struct sigaction action {};
  action.sa_handler = pollard_on_signal;
  // SA_RESETHAND restores the default action, so a second signal kills.
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

bool cancel_requested() { return requested.load(std::memory_order_relaxed); }

void throw_if_cancelled() {
  if (cancel_requested())
    throw UserError({.code = "E0509", .exit = Exit::Interrupted, .message = "interrupted; nothing was written"});
}

void request_cancel(bool value) { requested.store(value, std::memory_order_relaxed); }

}  // namespace pollard::models::io
