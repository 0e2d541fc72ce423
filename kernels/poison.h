// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POLLARD_ADDRESS_SANITIZER
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(POLLARD_ADDRESS_SANITIZER)
#define POLLARD_ADDRESS_SANITIZER
#include <sanitizer/asan_interface.h>
#endif

namespace pollard::kernels {

// AddressSanitizer knows what malloc gave out and took back. Memory that the library hands out itself, piece by piece, is
// all alike to it: these say which bytes nobody may touch at present. Other builds compile them to nothing.

#ifdef POLLARD_ADDRESS_SANITIZER
/// Bytes left free behind every piece, so that who writes past its end is seen before the next piece is hit.
constexpr std::size_t kRedZone = 64;
inline void poison(const void* data, std::size_t bytes) { __asan_poison_memory_region(data, bytes); }
inline void unpoison(const void* data, std::size_t bytes) { __asan_unpoison_memory_region(data, bytes); }
inline bool poisoned(const void* data) { return __asan_address_is_poisoned(data) != 0; }
#else
constexpr std::size_t kRedZone = 0;
inline void poison(const void*, std::size_t) {}
inline void unpoison(const void*, std::size_t) {}
inline bool poisoned(const void*) { return false; }
#endif

}  // namespace pollard::kernels
