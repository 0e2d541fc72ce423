// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <gtest/gtest.h>

#include "kernels/slice_gather.h"

namespace pollard::kernels {
namespace {

at::Tensor by_index_select(at::Tensor x, const std::map<std::int64_t, std::vector<std::int64_t>>& kept) {
  for (const auto& [dim, indices] : kept) x = x.index_select(dim, at::tensor(indices, at::kLong));
  return x;
}

TEST(SliceGather, EqualsIndexSelectForEveryTypeAndDimension) {
  const std::map<std::int64_t, std::vector<std::int64_t>> choices[] = {{{0, {0, 2, 3}}},
                                                                       {{1, {1, 4}}},
                                                                       {{2, {0, 1, 2}}},
                                                                       {{0, {4}}, {2, {1, 3}}},
                                                                       {{0, {0, 1}}, {1, {0, 2}}, {2, {3}}}};
  for (const auto dtype :
       {at::kFloat, at::kDouble, at::kHalf, at::kBFloat16, at::kChar, at::kLong, at::kBool})
    for (const auto& kept : choices) {
      BlockMemory memory;
      const at::Tensor x = at::randint(0, 100, {5, 6, 4}).to(dtype);
      const at::Tensor out = slice_gather(x, kept, memory);
      EXPECT_TRUE(out.is_contiguous());
      EXPECT_TRUE(at::equal(out, by_index_select(x, kept))) << dtype;
    }
}

TEST(SliceGather, ScatteredColumnsOfRowsOfAnyLength) {
  for (const std::int64_t length : {1, 7, 15, 16, 17, 33, 95, 768}) {
    std::vector<std::int64_t> kept;
    for (std::int64_t i = 0; i < length; i += 1 + (i * 7 + length) % 3) kept.push_back(i);
    const at::Tensor x = at::randn({9, length});
    BlockMemory memory;
    EXPECT_TRUE(at::equal(slice_gather(x, {{1, kept}}, memory), by_index_select(x, {{1, kept}}))) << length;
    EXPECT_TRUE(at::equal(slice_gather(x, {{0, {1, 8}}, {1, kept}}, memory),
                          by_index_select(x, {{0, {1, 8}}, {1, kept}})))
        << length;
  }
}

TEST(SliceGather, LongRowsWholeAlongAnyDimensions) {
  const std::vector<std::int64_t> few{0, 3, 4}, many{0, 1, 2, 5, 6, 30, 31, 39};
  for (const std::int64_t length : {127, 128, 129, 5000}) {  // 512 bytes and a float less and more
    const at::Tensor x = at::randn({40, 6, length});
    for (const std::map<std::int64_t, std::vector<std::int64_t>>& kept :
         {std::map<std::int64_t, std::vector<std::int64_t>>{{0, many}}, {{1, few}}, {{0, many}, {1, few}}}) {
      BlockMemory memory;
      EXPECT_TRUE(at::equal(slice_gather(x, kept, memory), by_index_select(x, kept))) << length;
    }
  }
}

TEST(SliceGather, KeepsNothingOfAnEmptyChoice) {
  BlockMemory memory;
  EXPECT_EQ(slice_gather(at::ones({3, 2}), {{0, {}}}, memory).sizes(), (std::vector<std::int64_t>{0, 2}));
}

at::Tensor by_operator(const at::Tensor& tensor, at::IntArrayRef dims, at::TensorList kept) {
  using Signature = at::Tensor(const at::Tensor&, at::IntArrayRef, at::TensorList);
  static const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow("pollard::slice_gather", "").typed<Signature>();
  return op.call(tensor, dims, kept);
}

TEST(SliceGather, IsAnOperator) {
  for (const std::int64_t n : {1, 7, 33, 95})
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16, at::kDouble, at::kLong}) {
      const at::Tensor x = at::randint(0, 100, {n, 5, n + 2}).to(type);
      const std::vector<at::Tensor> kept{at::arange(0, n, 2), at::arange(1, n + 2, 3)};
      const at::Tensor got = by_operator(x, {0, 2}, kept);
      EXPECT_TRUE(at::equal(got, slice_gather_by_aten(x, {0, 2}, kept))) << type << n;
      EXPECT_EQ(by_operator(x.to(at::kMeta), {0, 2}, kept).sizes(), got.sizes());
      EXPECT_TRUE(at::equal(by_operator(x, {}, {}), x));
    }
}

TEST(SliceGather, TheOperatorRefusesWhatDoesNotExistAndFollowsGradients) {
  const at::Tensor x = at::randn({3, 4}).requires_grad_();
  const auto indices = [](std::vector<std::int64_t> list) { return at::tensor(list, at::kLong); };
  EXPECT_ANY_THROW(by_operator(x, {2}, {indices({0})}));
  EXPECT_ANY_THROW(by_operator(x, {1}, {indices({0, 4})}));
  EXPECT_ANY_THROW(by_operator(x, {1}, {indices({-1, 2})}));
  EXPECT_ANY_THROW(by_operator(x, {1}, {indices({2, 1})}));
  EXPECT_ANY_THROW(by_operator(x, {1, 1}, {indices({1}), indices({2})}));
  EXPECT_ANY_THROW(by_operator(x, {1}, {}));
  by_operator(x, {1}, {indices({1, 3})}).sum().backward();
  EXPECT_TRUE(at::equal(x.grad().sum(0), at::tensor({0.0, 3.0, 0.0, 3.0}, at::kFloat)));
}

TEST(BlockMemory, TensorsDoNotOverlapAndOutliveTheMemory) {
  std::vector<at::Tensor> tensors;
  {
    BlockMemory memory;
    for (int i = 0; i < 40; ++i) {
      tensors.push_back(memory.empty({100 + i, 3001}, at::kFloat));
      tensors.back().fill_(i);
    }
    tensors.push_back(memory.empty({5 << 20}, at::kFloat));  // larger than a block
    tensors.back().fill_(40);
  }
  for (int i = 0; i <= 40; ++i) {
    const at::Tensor& tensor = tensors[static_cast<std::size_t>(i)];
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(tensor.const_data_ptr()) % 64, 0U);
    EXPECT_TRUE(tensor.eq(i).all().item<bool>()) << i;
  }
}

}  // namespace
}  // namespace pollard::kernels
