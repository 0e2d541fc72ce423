// SPDX-License-Identifier: Apache-2.0
// What sanitizers change: they keep a shadow of every address, terabytes of address space, and AddressSanitizer keeps
// freed memory for a while, so that a use of it is seen.
#pragma once

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define POLLARD_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define POLLARD_SANITIZED 1
#endif

namespace pollard::test {

#ifdef POLLARD_SANITIZED
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

}  // namespace pollard::test

/// A limit of addresses (`ulimit -v`) cannot be tested where the shadow alone exceeds it.
#define SKIP_WHERE_SHADOWS_TAKE_ADDRESSES() \
  if (pollard::test::kSanitized) GTEST_SKIP() << "a sanitizer's shadow takes more addresses than the limit"
