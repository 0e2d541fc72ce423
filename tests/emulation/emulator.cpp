// SPDX-License-Identifier: Apache-2.0
// The scheduler. Fibers only note what they wait for and leave; every container here is touched by the scheduler alone,
// so that ThreadSanitizer sees no accesses but the kernels'. It would see calls of memcpy and memset from here: loops do
// their work, and the build keeps the compiler from making calls of them again.
#include "tests/emulation/emulator.h"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "tests/emulation/fiber.h"

namespace emulation {
namespace {

constexpr std::size_t kMostShared = std::size_t{227} << 10;

enum class State : std::uint8_t { Ready, BlockBarrier, Warp, Array, Paused, Returned };
const char* name(State state) {
  static constexpr const char* kNames[] = {"ready",         "at __syncthreads", "at a warp's collective",
                                           "taking memory", "paused",           "returned"};
  return kNames[static_cast<std::size_t>(state)];
}

/// Two take turns: with one, what a fast thread releases at the next barrier would reach a slow one still leaving this.
struct Barrier {
  char first = 0, second = 0;
  void* turn(unsigned count) { return count % 2 == 0 ? &first : &second; }
};

struct Block;

constexpr unsigned kMostCopies = 64;  ///< that a thread has under way
struct Pending {
  Copy copy;
  unsigned group;
};

struct Thread {
  ThreadContext context{};
  Block* block = nullptr;
  Fiber* fiber = nullptr;
  State state = State::Ready;
  Site site{"", 0};
  // At a block's barrier.
  bool flag = false;
  int flags = 0;
  unsigned block_barriers = 0;
  // At a warp's collective.
  std::uint32_t mask = 0;
  const char* what = "";
  Payload shown{};
  Payload seen[32];
  Barrier warp_barrier;
  unsigned warp_barriers = 0;
  void* warp_order[32] = {};
  // Taking shared memory.
  std::size_t bytes = 0, arrays_taken = 0;
  void* array = nullptr;
  // Copies in the background: a ring, and how many groups there were.
  Pending copies[kMostCopies];
  unsigned copies_begun = 0, copies_made = 0, groups = 0;
};

struct Array {
  std::unique_ptr<unsigned char[]> memory;
  std::size_t bytes;
};

struct Block {
  std::vector<Thread> threads;
  std::vector<Array> arrays;
  std::size_t shared_used = 0;
  unsigned alive = 0, waiting = 0;
  Barrier barrier;
  char memory_given = 0;
};

std::string at(const Site& site) { return std::string(site.file) + ":" + std::to_string(site.line); }
bool same(const Site& a, const Site& b) { return a.line == b.line && std::strcmp(a.file, b.file) == 0; }

class Grid {
 public:
  Grid(dim3 grid, dim3 block, std::size_t shared, std::function<void()> body)
      : grid_(grid), block_(block), shared_(shared), body_(std::move(body)), random_(options().seed) {}

  void run();
  void begin_thread();
  void wait(State state, Site site) {
    current_->state = state;
    current_->site = site;
    current_->fiber->leave(state == State::Returned);
  }
  Thread& current() { return *current_; }
  /// From within a fiber, which is not entered again.
  [[noreturn]] void refuse(const char* why, Site site) {
    fail(why + (" at " + at(site)));
    wait(State::Paused, site);
    std::abort();
  }
  bool chance() { return options().seed >= 2 && random_() % 4 == 0; }

 private:
  std::vector<uint3> block_order();
  void run_block(uint3 id);
  void run_threads(Block& block);
  std::vector<Thread*> next_threads();
  void enter(Thread& thread);
  void came_back(Thread& thread);
  void meet_block(Block& block);
  void meet_warp(Thread& thread);
  void leave_warp(const Thread& thread);
  void give_array(Thread& thread);
  void make_ready(Thread& thread) {
    thread.state = State::Ready;
    ready_.push_back(&thread);
  }
  void fail(const std::string& why) {
    if (error_.empty()) error_ = why;
  }
  std::string waiting(const Block& block) const;

  dim3 grid_, block_;
  std::size_t shared_;
  std::function<void()> body_;
  std::mt19937_64 random_;
  std::vector<Thread*> ready_;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<std::unique_ptr<Block>> finished_;  ///< kept while races between blocks are looked for
  Thread* current_ = nullptr;
  std::string error_;
  char launched_ = 0, returned_ = 0;
};

thread_local Grid* running = nullptr;
/// Fibers are kept from launch to launch: making one costs ThreadSanitizer a millisecond.
thread_local std::vector<std::unique_ptr<Fiber>> idle_fibers;

void thread_entry() { running->begin_thread(); }

void Grid::begin_thread() {
  current_->fiber->has_begun();
  acquire(&launched_);
  body_();
  release(&returned_);
  wait(State::Returned, {"", 0});
  std::abort();  // a returned thread is not entered again
}

std::vector<uint3> Grid::block_order() {
  std::vector<uint3> order;
  for (unsigned z = 0; z < grid_.z; ++z)
    for (unsigned y = 0; y < grid_.y; ++y)
      for (unsigned x = 0; x < grid_.x; ++x) order.push_back({x, y, z});
  if (options().seed == 1) std::ranges::reverse(order);
  if (options().seed >= 2) std::ranges::shuffle(order, random_);
  return order;
}

void Grid::run() {
  running = this;
  struct Reset {
    ~Reset() { running = nullptr; }
  } reset;
  for (uint3 id : block_order()) run_block(id);
  acquire(&returned_);
}

void Grid::run_block(uint3 id) {
  auto block = std::make_unique<Block>();
  const unsigned count = block_.x * block_.y * block_.z;
  // To find races between blocks, threads of different blocks must be different fibers.
  auto& fibers = options().races_between_blocks ? fibers_ : idle_fibers;
  const std::size_t first_fiber = options().races_between_blocks ? fibers.size() : 0;
  while (fibers.size() < first_fiber + count) fibers.push_back(std::make_unique<Fiber>());
  block->threads = std::vector<Thread>(count);
  block->alive = count;
  ready_.clear();
  for (unsigned i = 0; i < count; ++i) {
    Thread& t = block->threads[i];
    t.context = {
        {i % block_.x, i / block_.x % block_.y, i / block_.x / block_.y}, id, block_, grid_, i % 32, i / 32};
    t.block = block.get();
    t.fiber = fibers[first_fiber + i].get();
    t.fiber->prepare(thread_entry);
    ready_.push_back(&t);
  }
  release(&launched_);
  run_threads(*block);
  if (!options().races_between_blocks) acquire(&returned_);
  if (options().races_between_blocks) finished_.push_back(std::move(block));
}

void Grid::run_threads(Block& block) {
  for (std::uint64_t idle = 0; block.alive > 0 && error_.empty();) {
    if (ready_.empty()) fail("deadlock: threads wait for each other");
    bool moved = false;
    for (Thread* thread : next_threads()) {
      if (!error_.empty()) break;
      enter(*thread);
      moved = moved || thread->state != State::Paused;
      came_back(*thread);
    }
    idle = moved ? 0 : idle + 1;
    if (idle > 1'000'000) fail("livelock: every thread spins");
  }
  if (error_.empty()) return;
  const Error error(error_ + waiting(block));
  idle_fibers.clear();  // some are still inside the kernel
  throw error;
}

/// All that are ready, in the seed's order; one at a time when the order is random.
std::vector<Thread*> Grid::next_threads() {
  if (options().seed < 2) {
    std::vector<Thread*> all = std::exchange(ready_, {});
    if (options().seed == 1) std::ranges::reverse(all);
    return all;
  }
  if (ready_.empty()) return {};
  std::swap(ready_[random_() % ready_.size()], ready_.back());
  Thread* one = ready_.back();
  ready_.pop_back();
  return {one};
}

void Grid::enter(Thread& thread) {
  current_ = &thread;
  thread.fiber->enter();
  current_ = nullptr;
}

void Grid::came_back(Thread& thread) {
  Block& block = *thread.block;
  switch (thread.state) {
    case State::BlockBarrier: ++block.waiting, meet_block(block); break;
    case State::Warp: meet_warp(thread); break;
    case State::Array: give_array(thread); break;
    case State::Paused: make_ready(thread); break;
    case State::Returned: --block.alive, leave_warp(thread), meet_block(block); break;
    case State::Ready: break;
  }
}

void Grid::meet_block(Block& block) {
  if (block.waiting == 0 || block.waiting != block.alive) return;
  if (block.alive != block.threads.size())
    return fail("__syncthreads after other threads of the block have returned");
  const Site& site = block.threads.front().site;
  int flags = 0;
  for (const Thread& t : block.threads) {
    if (!same(t.site, site))
      return fail("two different __syncthreads met: " + at(site) + " and " + at(t.site));
    flags += t.flag ? 1 : 0;
  }
  block.waiting = 0;
  for (Thread& t : block.threads) {
    t.flags = flags;
    make_ready(t);
  }
}

void Grid::meet_warp(Thread& thread) {
  Block& block = *thread.block;
  const std::size_t base = std::size_t{thread.context.warp} * 32,
                    lanes = std::min<std::size_t>(32, block.threads.size() - base);
  const auto named = [&](std::size_t lane) { return (thread.mask >> lane & 1) != 0; };
  if (!named(thread.context.lane)) return fail("a lane is not in its own mask at " + at(thread.site));
  if (lanes < 32 && thread.mask >> lanes != 0)
    return fail("the mask names lanes the block does not have at " + at(thread.site));
  for (std::size_t l = 0; l < lanes; ++l) {
    if (!named(l)) continue;
    const Thread& other = block.threads[base + l];
    if (other.state == State::Returned)
      return fail("the mask names a lane that has returned, at " + at(thread.site));
    if (other.state != State::Warp) return;
    if (other.mask != thread.mask || !same(other.site, thread.site) ||
        std::strcmp(other.what, thread.what) != 0)
      return fail("two different collectives of a warp met: " + at(thread.site) + " and " + at(other.site));
  }
  for (std::size_t l = 0; l < lanes; ++l) {
    if (!named(l)) continue;
    Thread& reader = block.threads[base + l];
    for (Payload& payload : reader.seen) payload.fill(~std::uint64_t{0});  // NaN: unnamed lanes show anything
    for (std::size_t k = 0; k < lanes; ++k) {
      Thread& writer = block.threads[base + k];
      if (named(k)) reader.seen[k] = writer.shown;
      reader.warp_order[k] = writer.warp_barrier.turn(writer.warp_barriers);
    }
    make_ready(reader);
  }
}

void Grid::leave_warp(const Thread& thread) {
  for (const Thread& other : thread.block->threads)
    if (other.state == State::Warp && other.context.warp == thread.context.warp &&
        (other.mask >> thread.context.lane & 1) != 0)
      fail("the mask names a lane that has returned, at " + at(other.site));
}

void Grid::give_array(Thread& thread) {
  Block& block = *thread.block;
  const std::size_t index = thread.arrays_taken++;
  if (index == block.arrays.size()) {
    block.arrays.push_back({std::make_unique_for_overwrite<unsigned char[]>(thread.bytes), thread.bytes});
    std::memset(block.arrays.back().memory.get(), 0xFF, thread.bytes);  // NaN until written
    block.shared_used += (thread.bytes + 15) / 16 * 16;
    if (block.shared_used > shared_) fail("more shared memory is taken than the launch asked for");
    release(&block.memory_given);
  }
  if (block.arrays[index].bytes != thread.bytes) fail("threads take different shared arrays");
  thread.array = block.arrays[index].memory.get();
  make_ready(thread);
}

std::string Grid::waiting(const Block& block) const {
  std::string out;
  const Thread* last = nullptr;
  for (const Thread& t : block.threads) {
    if (last && last->state == t.state && same(last->site, t.site)) continue;
    const unsigned index = static_cast<unsigned>(&t - block.threads.data());
    out += "\n  from thread " + std::to_string(index) + " on: " + name(t.state) + " " + at(t.site);
    last = &t;
  }
  return out;
}

void check_limits(dim3 grid, dim3 block, std::size_t shared) {
  const std::uint64_t threads = std::uint64_t{block.x} * block.y * block.z;
  if (threads == 0 || threads > 1024 || block.z > 64) throw Error("invalid block size");
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.y > 65535 || grid.z > 65535 || grid.x > 2147483647U)
    throw Error("invalid grid size");
  if (shared > kMostShared) throw Error("more than 227 KiB of shared memory");
}

std::uint64_t number_from(const char* variable) {
  const char* text = std::getenv(variable);
  return text ? std::strtoull(text, nullptr, 10) : 0;
}

}  // namespace

Options& options() {
  static Options kOptions{number_from("POLLARD_EMULATION_SEED"),
                          number_from("POLLARD_EMULATION_BLOCKS") != 0};
  return kOptions;
}

const ThreadContext& context() { return running->current().context; }

void run(dim3 grid, dim3 block, std::size_t shared_bytes, std::function<void()> body) {
  check_limits(grid, block, shared_bytes);
  if (running) throw Error("a launch within a launch");
  Grid(grid, block, shared_bytes, std::move(body)).run();
}

int block_barrier(bool flag, Site site) {
  Thread& self = running->current();
  void* order = self.block->barrier.turn(self.block_barriers++);
  self.flag = flag;
  release(order);
  running->wait(State::BlockBarrier, site);
  acquire(order);
  return self.flags;
}

void warp_barrier(std::uint32_t mask, Site site) {
  Thread& self = running->current();
  self.mask = mask;
  self.what = "__syncwarp";
  release(self.warp_barrier.turn(++self.warp_barriers));
  running->wait(State::Warp, site);
  for (unsigned lane = 0; lane < 32; ++lane)
    if (mask >> lane & 1 && self.warp_order[lane]) acquire(self.warp_order[lane]);
}

void exchange(std::uint32_t mask, const Payload& mine, Payload (&all)[32], const char* what, Site site) {
  Thread& self = running->current();
  self.mask = mask;
  self.what = what;
  self.shown = mine;
  running->wait(State::Warp, site);
  for (std::size_t lane = 0; lane < 32; ++lane) all[lane] = self.seen[lane];
}

void* shared_array(std::size_t bytes) {
  Thread& self = running->current();
  self.bytes = bytes;
  running->wait(State::Array, self.site);
  acquire(&self.block->memory_given);
  return self.array;
}

void begin_copy(Copy copy, Site site) {
  Thread& self = running->current();
  for (const void* address : {static_cast<const void*>(copy.to), copy.from})
    if (std::bit_cast<std::uintptr_t>(address) % kCopyBytes != 0)
      running->refuse("a copy of 16 bytes is not aligned to them", site);
  if (self.copies_begun - self.copies_made == kMostCopies)
    running->refuse("more copies are under way than a thread waits for", site);
  self.copies[self.copies_begun++ % kMostCopies] = {copy, self.groups};
}

void end_group() { ++running->current().groups; }

bool finish_copy(unsigned pending, Copy& copy) {
  Thread& self = running->current();
  if (self.copies_made == self.copies_begun) return false;
  const Pending& oldest = self.copies[self.copies_made % kMostCopies];
  if (oldest.group + pending >= self.groups) return false;
  copy = oldest.copy;
  ++self.copies_made;
  return true;
}

void pause() { running->wait(State::Paused, running->current().site); }

void maybe_pause() {
  if (running->chance()) pause();
}

}  // namespace emulation
