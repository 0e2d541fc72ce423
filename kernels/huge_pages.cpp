// SPDX-License-Identifier: Apache-2.0
#include "kernels/huge_pages.h"

#include <sys/mman.h>

#include <cstdint>

#include "kernels/poison.h"

namespace pollard::kernels {

HugePages::HugePages(std::size_t bytes)
    : bytes_(bytes),
      mapping_(mmap(nullptr, length(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {
  if (mapping_ == MAP_FAILED) return;
  if (bytes_ >= kHugePage) madvise(data(), bytes_, MADV_HUGEPAGE);  // a hint; failure is fine
  poison(mapping_, length());
  unpoison(data(), bytes_);
}

HugePages::~HugePages() {
  if (mapping_ == MAP_FAILED) return;
  unpoison(mapping_, length());  // the next mapping may lie here
  munmap(mapping_, length());
}

void* HugePages::data() const {
  if (mapping_ == MAP_FAILED) return nullptr;
  return reinterpret_cast<void*>(rounded_up(reinterpret_cast<std::uintptr_t>(mapping_), kHugePage));
}

}  // namespace pollard::kernels
