// SPDX-License-Identifier: Apache-2.0
#include "kernels/slab_sums.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <gtest/gtest.h>

namespace pollard::kernels {
namespace {

at::Tensor tensor_of(const std::vector<double>& values) { return at::tensor(values, at::kDouble); }

TEST(SlabSums, EqualSumsInDoubleForEveryTypeAndShape) {
  for (const at::ScalarType type : {at::kFloat, at::kHalf, at::kBFloat16, at::kDouble})
    for (const std::vector<std::int64_t>& shape :
         {std::vector<std::int64_t>{7}, {5, 33}, {3, 95, 2}, {300, 1001}, {4, 6, 3, 3}})
      for (const double p : {1.0, 2.0, 3.0}) {
        const at::Tensor w = at::randn(shape).to(type);
        std::vector<std::int64_t> dims;
        for (std::int64_t d = 0; d < w.dim(); ++d) dims.push_back(d);
        const auto sums = slab_power_sums(w, dims, p);
        for (const std::int64_t d : dims) {
          const at::Tensor want =
              w.to(at::kDouble).abs().pow(p).movedim(d, 0).reshape({w.size(d), -1}).sum(1);
          EXPECT_TRUE(at::allclose(tensor_of(sums[static_cast<std::size_t>(d)]), want, 1e-13, 0))
              << type << ' ' << w.sizes() << " dimension " << d << " power " << p;
        }
      }
}

/// 32 equal values are read as vectors and their sum is exact: every finite number of 16 bits is read as what it is.
TEST(SlabSums, ReadEveryNumberOf16BitsExactly) {
  for (const at::ScalarType type : {at::kHalf, at::kBFloat16}) {
    const at::Tensor all = at::arange(65536, at::kInt).to(at::kShort).view(type);
    const at::Tensor w = all.masked_select(all.to(at::kFloat).isfinite());
    const at::Tensor rows = w.unsqueeze(1).expand({-1, 32}).contiguous();
    const std::int64_t dims[] = {0};
    const at::Tensor want = w.to(at::kDouble).abs().mul(32);
    EXPECT_TRUE(at::equal(tensor_of(slab_power_sums(rows, dims, 1)[0]), want)) << type;
  }
}

TEST(SlabSums, AnInfinityOrNaNStaysOne) {
  const std::int64_t dims[] = {0};
  for (const at::ScalarType type : {at::kHalf, at::kBFloat16, at::kFloat})
    for (const float odd :
         {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
      const at::Tensor w = at::full({1, 32}, odd, at::kFloat).to(type);
      EXPECT_FALSE(std::isfinite(slab_power_sums(w, dims, 2)[0][0])) << type;
    }
}

std::vector<at::Tensor> by_operator(const at::Tensor& weight, at::IntArrayRef dims, double p) {
  using Signature = std::vector<at::Tensor>(const at::Tensor&, at::IntArrayRef, double);
  static const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow("pollard::slab_power_sums", "").typed<Signature>();
  return op.call(weight, dims, p);
}

TEST(SlabSums, AreAnOperator) {
  for (const std::int64_t n : {1, 7, 33, 95})
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16, at::kDouble})
      for (const double p : {1.0, 2.0, 3.0}) {
        const at::Tensor w = at::randn({n, n + 2, 3}).to(type);
        const auto got = by_operator(w, {1, 0, 2}, p), want = slab_power_sums_by_aten(w, {1, 0, 2}, p);
        for (std::size_t k = 0; k < got.size(); ++k)
          EXPECT_TRUE(at::allclose(got[k], want[k], 1e-13, 0)) << type << n << p << k;
        const auto form = by_operator(w.to(at::kMeta), {1, 0}, p);
        EXPECT_EQ(form.at(0).sizes(), at::IntArrayRef({n + 2}));
        EXPECT_EQ(form.at(1).scalar_type(), at::kDouble);
      }
  EXPECT_ANY_THROW(by_operator(at::ones({2, 3}), {2}, 1));
  EXPECT_ANY_THROW(by_operator(at::ones({2, 3}), {0}, 0));
}

TEST(SlabSums, TheOperatorFollowsGradients) {
  const at::Tensor w = at::randn({3, 4}).requires_grad_();
  by_operator(w, {0}, 2)[0].sum().backward();
  EXPECT_TRUE(at::allclose(w.grad(), w.detach() * 2));
}

TEST(SlabSums, AreTheSameBitForBitOnAnyNumberOfThreads) {
  const int before = at::get_num_threads();
  const at::Tensor w = at::randn({1030, 515});
  const std::int64_t dims[] = {0, 1};
  at::set_num_threads(1);
  const auto alone = slab_power_sums(w, dims, 2);
  at::set_num_threads(3);
  EXPECT_EQ(slab_power_sums(w, dims, 2), alone);
  at::set_num_threads(before);
}

}  // namespace
}  // namespace pollard::kernels
