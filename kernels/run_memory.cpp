// SPDX-License-Identifier: Apache-2.0
#include "kernels/run_memory.h"

#include <c10/core/CPUAllocator.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cstdint>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "kernels/huge_pages.h"
#include "kernels/poison.h"

namespace pollard::kernels {
namespace {

constexpr std::size_t kWorthKeeping = std::size_t{256} << 10;  // smaller ones malloc keeps itself

using OwnPages = std::unique_ptr<HugePages>;

std::size_t whole_pages(std::size_t bytes) {
  return rounded_up(bytes, bytes < kHugePage ? kWorthKeeping : kHugePage);
}

OwnPages new_pages(std::size_t bytes) {
  const std::size_t whole = whole_pages(bytes);
  auto pages = std::make_unique<HugePages>(whole);
  TORCH_CHECK(pages->data(), "can't allocate memory: ", whole, " bytes");
  return pages;
}

}  // namespace

class MemoryPool {
 public:
  OwnPages take(std::size_t bytes) {
    const std::scoped_lock lock(mutex_);
    OwnPages pages = from_idle(bytes);
    if (!pages) pages = new_pages(bytes);
    poison(pages->data(), pages->bytes());
    unpoison(pages->data(), bytes);
    alive_ += pages->bytes();
    most_ = std::max(most_, alive_);
    while (!idle_.empty() && alive_ + kept_ > most_ + most_ / 4) drop(idle_.begin());  // oldest first
    return pages;
  }

  void give_back(OwnPages pages) {
    const std::scoped_lock lock(mutex_);
    alive_ -= pages->bytes();
    if (closed_) return;
    poison(pages->data(), pages->bytes());
    kept_ += pages->bytes();
    idle_.push_back(std::move(pages));
  }

  /// From now on nothing is kept.
  void close() {
    const std::scoped_lock lock(mutex_);
    closed_ = true;
    while (!idle_.empty()) drop(idle_.begin());
  }

  std::size_t alive() const {
    const std::scoped_lock lock(mutex_);
    return alive_;
  }
  std::size_t idle() const {
    const std::scoped_lock lock(mutex_);
    return kept_;
  }

 private:
  using Place = std::vector<OwnPages>::iterator;

  OwnPages drop(Place place) {
    OwnPages pages = std::move(*place);
    kept_ -= pages->bytes();
    idle_.erase(place);
    return pages;
  }

  /// The tightest fit, of equal ones the last returned: the cache may still hold it. A quarter may be left over.
  OwnPages from_idle(std::size_t bytes) {
    auto best = idle_.end();
    for (auto it = idle_.begin(); it != idle_.end(); ++it) {
      const std::size_t has = (*it)->bytes();
      const bool fits = has >= bytes && has <= std::max(bytes + bytes / 4, whole_pages(bytes));
      if (fits && (best == idle_.end() || has <= (*best)->bytes())) best = it;
    }
    return best == idle_.end() ? nullptr : drop(best);
  }

  mutable std::mutex mutex_;
  std::vector<OwnPages> idle_;  ///< the last returned is last
  std::size_t alive_ = 0, kept_ = 0, most_ = 0;
  bool closed_ = false;
};

namespace {

using SharedPool = std::shared_ptr<MemoryPool>;

SharedPool& current() {
  thread_local SharedPool pool;
  return pool;
}

/// Which pool the pages behind an address came from. Only addresses where a huge page could begin are looked up.
class Owners {
 public:
  static bool may_have(const void* data) { return reinterpret_cast<std::uintptr_t>(data) % kHugePage == 0; }

  void* add(OwnPages pages, SharedPool pool) {
    const std::scoped_lock lock(mutex_);
    void* data = pages->data();
    owners_[data] = {std::move(pages), std::move(pool)};
    return data;
  }

  bool give_back(void* data) {
    std::pair<OwnPages, SharedPool> owner;
    {
      const std::scoped_lock lock(mutex_);
      const auto found = owners_.find(data);
      if (found == owners_.end()) return false;
      owner = std::move(found->second);
      owners_.erase(found);
    }
    owner.second->give_back(std::move(owner.first));
    return true;
  }

 private:
  std::mutex mutex_;
  std::unordered_map<void*, std::pair<OwnPages, SharedPool>> owners_;
};

// Tensors may die after every static object: neither of the two below ever does.
Owners& owners() {
  static auto* all = new Owners;
  return *all;
}

c10::Allocator& usual() {
  static auto* allocator = c10::GetDefaultCPUAllocator();
  return *allocator;
}

void release(void* data) {
  if (Owners::may_have(data) && owners().give_back(data)) return;
  usual().raw_deallocate(data);
}

class RunAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(std::size_t bytes) override {
    const SharedPool& pool = current();
    void* data = pool && bytes >= kWorthKeeping ? owners().add(pool->take(bytes), pool)
                                                : usual().allocate(bytes).release_context();
    return {data, data, &release, c10::DeviceType::CPU};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, std::size_t count) const override {
    default_copy_data(to, from, count);
  }
};

[[maybe_unused]] const bool kInstalled = [] {
  c10::SetCPUAllocator(new RunAllocator);
  return true;
}();

}  // namespace

RunMemory::RunMemory() : pool_(std::make_shared<MemoryPool>()) {}
RunMemory::~RunMemory() { pool_->close(); }
std::size_t RunMemory::alive() const { return pool_->alive(); }
std::size_t RunMemory::idle() const { return pool_->idle(); }

RunMemory::Scope::Scope(const RunMemory& memory) : before_(std::exchange(current(), memory.pool_)) {}
RunMemory::Scope::~Scope() { current() = std::move(before_); }

}  // namespace pollard::kernels
