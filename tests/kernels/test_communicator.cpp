// SPDX-License-Identifier: Apache-2.0
// The processes of a job: shares, sums and copies. The test starts itself again under mpirun.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "kernels/communicator.h"

namespace pollard::kernels {
namespace {

/// The status of this test program under mpirun, with one test. Open MPI leaks in plugins that it unloads, so that no
/// suppression could name them: LeakSanitizer is not asked.
int run_in_processes(int count, const std::string& test) {
  const std::string self = std::filesystem::read_symlink("/proc/self/exe").string();
  const std::string line =
      "ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 "
      "mpirun --oversubscribe -n " +
      std::to_string(count) + " '" + self + "' --gtest_filter=" + test + " > /dev/null 2>&1";
  return std::system(line.c_str());
}

TEST(Communicator, OneProcessHasEverything) {
  const std::unique_ptr<Communicator> alone = single_process();
  EXPECT_EQ(alone->size(), 1);
  EXPECT_EQ(alone->share(10).begin, 0);
  EXPECT_EQ(alone->share(10).end, 10);
  at::Tensor x = at::ones({3});
  alone->all_reduce(x);
  alone->start_all_reduce(x)->wait();
  EXPECT_TRUE(at::equal(x, at::ones({3})));
  EXPECT_EQ(alone->broadcast("text", 0), "text");
}

void expect_shares_cover(Communicator& all, std::int64_t count) {
  const auto share = all.share(count);
  at::Tensor seen = at::zeros({count}, at::kLong);
  seen.slice(0, share.begin, share.end).fill_(1);
  all.all_reduce(seen);
  EXPECT_TRUE(at::equal(seen, at::ones({count}, at::kLong)));
  EXPECT_LE(std::abs(share.end - share.begin - count / all.size()), 1);
}

TEST(Communicator, ProcessesOfAJobSumAndCopy) {
  if (launched_processes() == 1) {
    if (mpi_version().empty()) GTEST_SKIP() << "built without MPI";
    EXPECT_EQ(run_in_processes(4, "Communicator.ProcessesOfAJobSumAndCopy"), 0);
    return;
  }
  Communicator& all = world();
  ASSERT_EQ(all.size(), 4);
  for (const std::int64_t count : {1, 4, 10}) expect_shares_cover(all, count);
  at::Tensor ranks = at::full({5}, all.rank(), at::kFloat);
  all.all_reduce(ranks);
  EXPECT_TRUE(at::equal(ranks, at::full({5}, 6.0F)));
  at::Tensor large = at::arange(100000, at::kDouble);
  const auto pending = all.start_all_reduce(large);
  while (!pending->test()) {}
  pending->wait();
  EXPECT_TRUE(at::equal(large, at::arange(100000, at::kDouble) * 4));
  at::Tensor copied = at::full({2}, all.rank(), at::kLong);
  all.broadcast(copied, 3);
  EXPECT_TRUE(at::equal(copied, at::full({2}, 3, at::kLong)));
  EXPECT_EQ(all.broadcast(std::string(static_cast<std::size_t>(all.rank()), 'x'), 2), "xx");
  all.barrier();
}

}  // namespace
}  // namespace pollard::kernels
