// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace pollard::kernels {

constexpr std::size_t kHugePage = std::size_t{2} << 20;

constexpr std::size_t rounded_up(std::size_t bytes, std::size_t to) { return (bytes + to - 1) / to * to; }

/// Memory of one's own, from the system and back to it, that begins where a huge page could; from the size of one on, huge
/// pages are asked for. What lies around the data is never touched;
/// there is always a page behind it.
class HugePages {
 public:
  explicit HugePages(std::size_t bytes);
  ~HugePages();
  HugePages(const HugePages&) = delete;
  HugePages& operator=(const HugePages&) = delete;

  std::size_t bytes() const { return bytes_; }
  void* data() const;  ///< nullptr when the system gave nothing

 private:
  std::size_t length() const { return bytes_ + kHugePage; }

  std::size_t bytes_;
  void* mapping_;
};

}  // namespace pollard::kernels
