// SPDX-License-Identifier: Apache-2.0
#include "kernels/run_memory.h"

#include <ATen/ATen.h>
#include <c10/core/CPUAllocator.h>
#include <gtest/gtest.h>

#include <optional>
#include <set>
#include <thread>

#include "kernels/executor.h"
#include "kernels/poison.h"
#include "tests/kernels/support/program_builder.h"

namespace pollard::kernels {
namespace {

constexpr std::int64_t kMiB = 1 << 20;

at::Tensor bytes(std::int64_t count) { return at::empty({count}, at::kByte); }

TEST(RunMemory, TheNextTensorOfASizeLiesWhereTheLastDid) {
  const RunMemory memory;
  const RunMemory::Scope scope(memory);
  at::Tensor first = bytes(4 * kMiB);
  const void* place = first.data_ptr();
  EXPECT_EQ(memory.alive(), 4U * kMiB);
  first.reset();
  EXPECT_EQ(memory.alive(), 0U);
  EXPECT_EQ(memory.idle(), 4U * kMiB);
  EXPECT_EQ(bytes(4 * kMiB - 100).data_ptr(), place);
  EXPECT_NE(bytes(kMiB).data_ptr(), place);  // most of it would lie idle
}

TEST(RunMemory, SizesThatComeInTurnFindTheirs) {
  const RunMemory memory;
  const RunMemory::Scope scope(memory);
  std::set<const void*> places;
  for (int round = 0; round < 3; ++round) {
    {
      const at::Tensor large = bytes(4 * kMiB), too = bytes(4 * kMiB);
      places.insert({large.data_ptr(), too.data_ptr()});
    }
    places.insert(bytes(kMiB).data_ptr());
  }
  EXPECT_EQ(places.size(), 3U);
  EXPECT_EQ(memory.idle(), 9U * kMiB);
}

TEST(RunMemory, TheNextTensorOfASizeLiesWhereTheLastDidHoweverMuchOfAHugePageItLeaves) {
  const RunMemory memory;
  const RunMemory::Scope scope(memory);
  at::Tensor first = bytes(2 * kMiB + 1);
  const void* place = first.data_ptr();
  EXPECT_EQ(memory.alive(), 4U * kMiB);
  first.reset();
  EXPECT_EQ(bytes(2 * kMiB + 1).data_ptr(), place);
}

TEST(RunMemory, HoldsLittleMoreThanWasAlive) {
  const RunMemory memory;
  const RunMemory::Scope scope(memory);
  bytes(4 * kMiB).reset();
  const at::Tensor larger = bytes(8 * kMiB);
  EXPECT_EQ(memory.idle(), 0U);
  EXPECT_EQ(memory.alive(), 8U * kMiB);
}

TEST(RunMemory, TensorsOutliveIt) {
  at::Tensor kept;
  {
    const RunMemory memory;
    const RunMemory::Scope scope(memory);
    kept = bytes(4 * kMiB).fill_(7);
    bytes(2 * kMiB).reset();
  }
  EXPECT_EQ(kept.sum().item<std::int64_t>(), 7 * 4 * kMiB);
}

TEST(RunMemory, ConcernsLargeTensorsOfThisThreadAlone) {
  const RunMemory memory;
  const at::Tensor before = bytes(4 * kMiB);
  const RunMemory::Scope scope(memory);
  const at::Tensor small = bytes(1000);
  at::Tensor elsewhere;
  std::thread([&] { elsewhere = bytes(4 * kMiB); }).join();
  EXPECT_EQ(memory.alive(), 0U);
  std::optional<at::Tensor> here = bytes(4 * kMiB);
  std::thread([&] { here.reset(); }).join();  // may die on another
  EXPECT_EQ(memory.idle(), 4U * kMiB);
}

TEST(RunMemory, PlainPointersFindTheirWayBack) {
  c10::Allocator& allocator = *c10::GetCPUAllocator();
  const RunMemory memory;
  void* outside = allocator.raw_allocate(4 * kMiB);
  const RunMemory::Scope scope(memory);
  void* inside = allocator.raw_allocate(4 * kMiB);
  EXPECT_EQ(memory.alive(), 4U * kMiB);
  allocator.raw_deallocate(outside);
  allocator.raw_deallocate(inside);
  EXPECT_EQ(memory.idle(), 4U * kMiB);
}

TEST(RunMemory, AnExecutorUsesTheSamePlacesForEveryRun) {
  test::ProgramBuilder b;
  const graph::ValueId x = b.input("x", {kMiB}), y = b.tensor("y", {kMiB}), z = b.tensor("z", {kMiB});
  b.op("aten.neg.default", {{"self", x}}, {y});
  b.op("aten.relu.default", {{"self", y}}, {z});
  b.output(z);
  const Executor executor(b.program);
  const at::Tensor input = at::randn({kMiB});
  std::set<const void*> places;
  for (int run = 0; run < 5; ++run) {
    const at::Tensor result = executor.run({}, {input}).at(0);
    EXPECT_TRUE(at::equal(result, input.neg().relu()));
    places.insert(result.data_ptr());
  }
  EXPECT_LE(places.size(), 2U);  // one for y and one for z, in turn
}

#ifdef POLLARD_ADDRESS_SANITIZER
/// malloc's bytes are AddressSanitizer's to watch; those that are kept from run to run would look alive for ever.
TEST(RunMemory, AddressSanitizerSeesWhatBelongsToNoTensor) {
  const RunMemory memory;
  const RunMemory::Scope scope(memory);
  at::Tensor tensor = bytes(3 * kMiB - 100);
  const auto* data = tensor.const_data_ptr<std::uint8_t>();
  EXPECT_FALSE(poisoned(data));
  EXPECT_FALSE(poisoned(data + 3 * kMiB - 101));
  EXPECT_TRUE(poisoned(data + 3 * kMiB - 100));
  EXPECT_TRUE(poisoned(data + 4 * kMiB));  // behind the last page
  tensor.reset();
  EXPECT_EQ(memory.idle(), 4U * kMiB);
  EXPECT_TRUE(poisoned(data));
  tensor = bytes(4 * kMiB);
  EXPECT_EQ(tensor.const_data_ptr(), data);
  EXPECT_FALSE(poisoned(data));
  EXPECT_FALSE(poisoned(data + 4 * kMiB - 1));
}
#endif

}  // namespace
}  // namespace pollard::kernels
