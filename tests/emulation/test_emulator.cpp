// SPDX-License-Identifier: Apache-2.0
// The emulator's own test: small kernels with one bug each, and what must find it. Random schedules alone are not enough: two
// of the bugs give right answers on every schedule, and only ThreadSanitizer sees them.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <optional>
#include <vector>

#include "tests/emulation/emulator.h"

#include "kernels/cuda/dialect.cuh"
#include "tests/emulation/reports.h"

namespace emulation {
namespace {

using pollard::kernels::cuda::commit_copies;
using pollard::kernels::cuda::copy_async;
using pollard::kernels::cuda::launch;
using pollard::kernels::cuda::multiply_bf16;
using pollard::kernels::cuda::shared_bytes;
using pollard::kernels::cuda::SharedMemory;
using pollard::kernels::cuda::wait_copies;
using pollard::kernels::cuda::warp_sum;

enum class Bug {
  None,
  NoEntryBarrier,   ///< an array is used again before all have read it
  NoMiddleBarrier,  ///< partial sums are read before all are written
  OneBuffer,        ///< a state is overwritten while others read it
  MissedStep,       ///< one step of many ends without a barrier
  PlainAdd,         ///< blocks add to one number without an atomic
  PastTheEnd,       ///< one element too many of a shared array
  NoWait,           ///< what a copy in the background brings is read before it is there
  WaitAlone         ///< each waits for its own copies and reads another's without a barrier
};

template <Bug kBug>
float block_sum(float value, float* sums) {
  const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
  value = warp_sum(value);
  if constexpr (kBug != Bug::NoEntryBarrier) __syncthreads();
  if (lane == 0) sums[warp] = value;
  if constexpr (kBug != Bug::NoMiddleBarrier) __syncthreads();
  return warp_sum(lane < warps ? sums[lane] : 0.0f);
}

/// y = (x - mean) / deviation over the block.
template <Bug kBug>
void normalise(const float* x, float* y, int n) {
  SharedMemory shared;
  float* sums = shared.take<float>(32);
  float* values = shared.take<float>(static_cast<std::size_t>(n));
  float sum = 0;
  for (int i = static_cast<int>(threadIdx.x); i < n; i += static_cast<int>(blockDim.x))
    sum += values[i] = x[i];
  const float mean = block_sum<kBug>(sum, sums) / static_cast<float>(n);
  float square = 0;
  for (int i = static_cast<int>(threadIdx.x); i < n; i += static_cast<int>(blockDim.x))
    square += (values[i] - mean) * (values[i] - mean);
  const float deviation = std::sqrt(block_sum<kBug>(square, sums) / static_cast<float>(n));
  for (int i = static_cast<int>(threadIdx.x); i < n; i += static_cast<int>(blockDim.x))
    y[i] = (values[kBug == Bug::PastTheEnd ? i + 1 : i] - mean) / deviation;
}

/// h <- tanh(sum of h + position), some steps.
template <Bug kBug>
void recur(float* out, int n, int steps) {
  SharedMemory shared;
  float* h = shared.take<float>(static_cast<std::size_t>(2 * n));
  const int unit = static_cast<int>(threadIdx.x);
  if (unit < n) h[unit] = h[n + unit] = 0.01f * static_cast<float>(unit);
  __syncthreads();
  for (int s = 0; s < steps; ++s) {
    const float* now = kBug == Bug::OneBuffer ? h : h + s % 2 * n;
    float* later = kBug == Bug::OneBuffer ? h : h + (s + 1) % 2 * n;
    float sum = static_cast<float>(unit) / static_cast<float>(n);
    for (int k = 0; k < n; ++k) sum += now[k] / static_cast<float>(n);
    if (unit < n) later[unit] = std::tanh(sum);
    if (kBug == Bug::MissedStep && s == 2) continue;
    __syncthreads();
  }
  if (unit < n) out[unit] = h[steps % 2 * n + unit];
}

template <Bug kBug>
void add_up(const float* x, float* out, int n) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= n || threadIdx.x != 0) return;
  if constexpr (kBug == Bug::PlainAdd)
    *out += x[i];
  else
    atomicAdd(out, x[i]);
}

/// The sum of every column of x [rows, 4 threads], turned by five: a row is copied while the one before is read.
template <Bug kBug>
void add_rows(const float* x, float* out, int rows) {
  const int place = 4 * static_cast<int>(threadIdx.x), width = 4 * static_cast<int>(blockDim.x);
  SharedMemory shared;
  float* buffers = shared.take<float>(static_cast<std::size_t>(2 * width));
  const auto begin = [&](int row) {
    if (row < rows) copy_async(buffers + row % 2 * width + place, x + row * width + place);
    commit_copies();
  };
  begin(0);
  float sum = 0;
  for (int row = 0; row < rows; ++row) {
    begin(row + 1);
    if constexpr (kBug != Bug::NoWait) wait_copies<1>();
    if constexpr (kBug != Bug::WaitAlone) __syncthreads();
    sum += buffers[row % 2 * width + (place + 5) % width];
    __syncthreads();
  }
  out[threadIdx.x] = sum;
}

constexpr int kCount = 200;

template <Bug kBug>
std::vector<float> run_bug() {
  std::vector<float> x(kCount), y(kCount);
  std::iota(x.begin(), x.end(), 1.0f);
  if constexpr (kBug == Bug::PlainAdd) {
    launch(add_up<kBug>, dim3{4, 1, 1}, dim3{64, 1, 1}, 0, nullptr, x.data(), y.data(), kCount);
  } else if constexpr (kBug == Bug::OneBuffer || kBug == Bug::MissedStep) {
    launch(recur<kBug>, dim3{1, 1, 1}, dim3{64, 1, 1}, shared_bytes<float>(96), nullptr, y.data(), 48, 6);
  } else if constexpr (kBug == Bug::NoWait || kBug == Bug::WaitAlone) {
    launch(add_rows<kBug>, dim3{1, 1, 1}, dim3{10, 1, 1}, shared_bytes<float>(80), nullptr, x.data(),
           y.data(), 5);
  } else {
    launch(normalise<kBug>, dim3{1, 1, 1}, dim3{128, 1, 1},
           shared_bytes<float>(32) + shared_bytes<float>(kCount), nullptr, x.data(), y.data(), kCount);
  }
  return y;
}

/// The same launch as run_bug<kBug>, without the bug.
template <Bug kBug>
std::vector<float> run_clean() {
  std::vector<float> x(kCount), y(kCount);
  std::iota(x.begin(), x.end(), 1.0f);
  if constexpr (kBug == Bug::PlainAdd)
    launch(add_up<Bug::None>, dim3{4, 1, 1}, dim3{64, 1, 1}, 0, nullptr, x.data(), y.data(), kCount);
  else if constexpr (kBug == Bug::OneBuffer || kBug == Bug::MissedStep)
    launch(recur<Bug::None>, dim3{1, 1, 1}, dim3{64, 1, 1}, shared_bytes<float>(96), nullptr, y.data(), 48,
           6);
  else if constexpr (kBug == Bug::NoWait || kBug == Bug::WaitAlone)
    launch(add_rows<Bug::None>, dim3{1, 1, 1}, dim3{10, 1, 1}, shared_bytes<float>(80), nullptr, x.data(),
           y.data(), 5);
  else
    launch(normalise<Bug::None>, dim3{1, 1, 1}, dim3{128, 1, 1},
           shared_bytes<float>(32) + shared_bytes<float>(kCount), nullptr, x.data(), y.data(), kCount);
  return y;
}

bool equal(const std::vector<float>& a, const std::vector<float>& b) {
  for (std::size_t i = 0; i < a.size(); ++i)
    if (!(std::fabs(a[i] - b[i]) <= 1e-5f * (1 + std::fabs(b[i])))) return false;
  return true;
}

/// What each way of looking must find. `values`: some schedule gives a wrong result. No answer where chance decides: what lies
/// past the end of an array is another allocation, which others may have written to or not.
struct Expected {
  const char* bug;
  bool values, address_sanitizer;
  std::optional<bool> races_in_a_block, races_between_blocks;
  std::vector<float> (*buggy)();
  std::vector<float> (*clean)();
};

const std::vector<Expected>& bugs() {
  static const std::vector<Expected> kBugs{
      {"NoEntryBarrier", false, false, true, true, run_bug<Bug::NoEntryBarrier>,
       run_clean<Bug::NoEntryBarrier>},
      {"NoMiddleBarrier", true, false, true, true, run_bug<Bug::NoMiddleBarrier>,
       run_clean<Bug::NoMiddleBarrier>},
      {"OneBuffer", true, false, true, true, run_bug<Bug::OneBuffer>, run_clean<Bug::OneBuffer>},
      {"MissedStep", true, false, true, true, run_bug<Bug::MissedStep>, run_clean<Bug::MissedStep>},
      {"PlainAdd", false, false, false, true, run_bug<Bug::PlainAdd>, run_clean<Bug::PlainAdd>},
      {"PastTheEnd", true, true, {}, {}, run_bug<Bug::PastTheEnd>, run_clean<Bug::PastTheEnd>},
      {"NoWait", true, false, false, false, run_bug<Bug::NoWait>, run_clean<Bug::NoWait>},
      {"WaitAlone", true, false, true, true, run_bug<Bug::WaitAlone>, run_clean<Bug::WaitAlone>},
  };
  return kBugs;
}

class InjectedBug : public ::testing::TestWithParam<Expected> {
 protected:
  void SetUp() override { before_ = options(); }
  void TearDown() override { options() = before_; }

 private:
  Options before_;
};

TEST_P(InjectedBug, GivesWrongValuesWhereItCan) {
  options().seed = 0;
  const std::vector<float> right = GetParam().clean();
  bool wrong = false;
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    options().seed = seed;
    wrong = wrong || !equal(GetParam().buggy(), right);
  }
  EXPECT_EQ(wrong, GetParam().values);
}

TEST_P(InjectedBug, IsSeenByTheSanitizer) {
  const Expected& e = GetParam();
  std::optional<bool> expected = false;
  if (build() == Build::AddressSanitizer) expected = e.address_sanitizer;
  if (build() == Build::ThreadSanitizer)
    expected = options().races_between_blocks ? e.races_between_blocks : e.races_in_a_block;
  const int before = sanitizer_reports();
  static_cast<void>(e.clean());
  EXPECT_EQ(sanitizer_reports(), before) << "a false alarm";
  static_cast<void>(e.buggy());
  if (expected) EXPECT_EQ(sanitizer_reports() > before, *expected);
}

INSTANTIATE_TEST_SUITE_P(All, InjectedBug, ::testing::ValuesIn(bugs()),
                         [](const auto& test) { return std::string(test.param.bug); });

// What a GPU answers with a hang or an error ------------------------------------------------------------------

void misuse(int kind, float* out) {
  const unsigned t = threadIdx.x;
  float value = static_cast<float>(t);
  if (kind == 0) {
    if (t < 40)
      __syncthreads();
    else
      __syncthreads();
  }
  if (kind == 1) {
    if (t < 32) return;
    __syncthreads();
  }
  if (kind == 2 && t >= 48) return;
  if (kind == 2) value += __shfl_xor_sync(0xffffffffU, value, 16);
  if (kind == 3 && t % 2 == 1) value += __shfl_down_sync(0xffffffffU, value, 1);
  if (kind == 3) __syncthreads();
  if (kind == 4) value = __shfl_sync(0xffffU, value, 3);
  if (kind == 5) SharedMemory().take<float>(t == 0 ? 8 : 9);
  if (kind == 6) SharedMemory().take<float>(1000);
  if (kind == 8 && t >= 16) return;
  if (kind == 8) {
    float sums[4] = {};
    multiply_bf16(sums, {t, t, t, t}, {t, t});
    value = sums[0];
  }
  if (kind == 9) copy_async(out + 4 * t, out + 4 * t + 1);
  if (kind == 10)
    for (int again = 0; again < 65; ++again) copy_async(out, out + 4);
  out[t] = value;
}

std::string complaint(int kind) {
  std::vector<float> out(64);
  try {
    launch(misuse, dim3{1, 1, 1}, dim3{64, 1, 1}, 64, nullptr, kind, out.data());
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Emulator, NamesWhatAGpuWouldHangOn) {
  EXPECT_NE(complaint(0).find("two different __syncthreads met"), std::string::npos) << complaint(0);
  EXPECT_NE(complaint(1).find("after other threads of the block have returned"), std::string::npos)
      << complaint(1);
  EXPECT_NE(complaint(2).find("a lane that has returned"), std::string::npos) << complaint(2);
  EXPECT_NE(complaint(3).find("deadlock"), std::string::npos) << complaint(3);
  EXPECT_NE(complaint(4).find("not in its own mask"), std::string::npos) << complaint(4);
  EXPECT_NE(complaint(5).find("different shared arrays"), std::string::npos) << complaint(5);
  EXPECT_NE(complaint(6).find("more shared memory is taken"), std::string::npos) << complaint(6);
  EXPECT_EQ(complaint(7), "");
  EXPECT_NE(complaint(8).find("a lane that has returned"), std::string::npos) << complaint(8);
  EXPECT_NE(complaint(9).find("not aligned"), std::string::npos) << complaint(9);
  EXPECT_NE(complaint(10).find("more copies are under way"), std::string::npos) << complaint(10);
}

// Products of a warp -------------------------------------------------------------------------------------------

unsigned two(float low, float high) { return pollard::kernels::cuda::pack_bf16(low, high); }

/// One product, matrices row by row. Element i of a lane's eight of a, four of b and four sums lies where the PTX ISA's tables for
/// mma.m16n8k16 say.
void product(const float* a, const float* b, float* sums) {
  const unsigned lane = threadIdx.x, group = lane >> 2, inside = lane % 4;
  const auto left = [&](unsigned i) {
    const bool upper = i < 2 || (i >= 4 && i < 6);
    return a[(upper ? group : group + 8) * 16 + inside * 2 + (i & 1) + (i < 4 ? 0 : 8)];
  };
  const auto right = [&](unsigned i) { return b[(inside * 2 + (i & 1) + (i < 2 ? 0 : 8)) * 8 + group]; };
  const auto place = [&](unsigned i) { return (i < 2 ? group : group + 8) * 8 + inside * 2 + (i & 1); };
  float own[4];
  for (unsigned i = 0; i < 4; ++i) own[i] = sums[place(i)];
  multiply_bf16(own,
                {two(left(0), left(1)), two(left(2), left(3)), two(left(4), left(5)), two(left(6), left(7))},
                {two(right(0), right(1)), two(right(2), right(3))});
  for (unsigned i = 0; i < 4; ++i) sums[place(i)] = own[i];
}

TEST(Emulator, MultipliesMatricesThatLieInAWarpsLanes) {
  std::vector<float> a(256), b(128), sums(128), want(128);
  for (std::size_t i = 0; i < a.size(); ++i) a[i] = static_cast<float>(i * 37 % 101) - 50;
  for (std::size_t i = 0; i < b.size(); ++i) b[i] = static_cast<float>(i * 29 % 97) - 48;
  for (std::size_t i = 0; i < sums.size(); ++i) sums[i] = want[i] = static_cast<float>(i);
  for (std::size_t i = 0; i < 16; ++i)
    for (std::size_t j = 0; j < 8; ++j)
      for (std::size_t k = 0; k < 16; ++k) want[i * 8 + j] += a[i * 16 + k] * b[k * 8 + j];
  launch(product, dim3{1, 1, 1}, dim3{32, 1, 1}, 0, nullptr, a.data(), b.data(), sums.data());
  EXPECT_EQ(sums, want);
}

TEST(Emulator, RoundsAsTheInstructionsDo) {
  // 1 + 2^-8 lies between two bf16: the even one. 1 + 3 2^-8 likewise, upwards.
  EXPECT_EQ(two(1.00390625f, 1.01171875f), 0x3F823F80U);
  EXPECT_EQ(two(-0.0f, INFINITY), 0x7F808000U);
  EXPECT_EQ(two(3.4e38f, NAN), 0x7FFF7F80U);
  double most = 0;
  for (float x = -4; x <= 4; x += 0.001f)
    most = std::max(most, std::fabs(pollard::kernels::cuda::fast_tanh(x) / std::tanh(double{x}) - 1));
  EXPECT_LE(most, 1.001 / 2048);
  EXPECT_GE(most, 0.9 / 2048) << "as wrong as the instruction may be";
}

TEST(Emulator, SaysWhoWaitsWhere) {
  EXPECT_NE(complaint(3).find("test_emulator.cpp:"), std::string::npos);
  EXPECT_NE(complaint(3).find("from thread 1 on: at a warp's collective"), std::string::npos) << complaint(3);
}

TEST(Emulator, KnowsTheLimitsOfALaunch) {
  std::vector<float> out(2048);
  const auto refused = [&](dim3 grid, dim3 block, std::size_t shared) {
    try {
      launch(misuse, grid, block, shared, nullptr, 7, out.data());
    } catch (const Error&) {
      return true;
    }
    return false;
  };
  EXPECT_TRUE(refused({1, 1, 1}, {1056, 1, 1}, 0));
  EXPECT_TRUE(refused({0, 1, 1}, {32, 1, 1}, 0));
  EXPECT_TRUE(refused({1, 70000, 1}, {32, 1, 1}, 0));
  EXPECT_TRUE(refused({1, 1, 1}, {32, 1, 1}, 228 * 1024));
  EXPECT_FALSE(refused({1, 1, 1}, {1024, 1, 1}, 227 * 1024));
}

}  // namespace
}  // namespace emulation
