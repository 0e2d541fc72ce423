// SPDX-License-Identifier: Apache-2.0
#include "kernels/huge_pages.h"

#include <sys/mman.h>

#include <cstdint>

namespace pollard::kernels {

HugePages::HugePages(std::size_t bytes)
    : bytes_(bytes),
      mapping_(mmap(nullptr, length(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {
  if (data() && bytes_ >= kHugePage) madvise(data(), bytes_, MADV_HUGEPAGE);  // a hint; failure is fine
}

HugePages::~HugePages() {
  if (mapping_ != MAP_FAILED) munmap(mapping_, length());
}

void* HugePages::data() const {
  if (mapping_ == MAP_FAILED) return nullptr;
  return reinterpret_cast<void*>(rounded_up(reinterpret_cast<std::uintptr_t>(mapping_), kHugePage));
}

}  // namespace pollard::kernels
