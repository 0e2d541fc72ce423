// SPDX-License-Identifier: Apache-2.0
#include "kernels/scalar_ops.h"

#include <gtest/gtest.h>

#include <limits>
#include <stdexcept>

namespace pollard::kernels {
namespace {

using Args = std::vector<c10::IValue>;
constexpr std::int64_t kMin = std::numeric_limits<std::int64_t>::min(),
                       kMax = std::numeric_limits<std::int64_t>::max();

std::int64_t integer(const char* op, std::int64_t a, std::int64_t b) {
  return run_scalar_op(op, {a, b}).toInt();
}

TEST(ScalarOps, FloorDivisionAndModuloRoundDownAsInPython) {
  EXPECT_EQ(integer("_operator.floordiv", 7, 2), 3);
  EXPECT_EQ(integer("_operator.floordiv", -7, 2), -4);
  EXPECT_EQ(integer("_operator.floordiv", 7, -2), -4);
  EXPECT_EQ(integer("_operator.mod", -7, 3), 2);
  EXPECT_EQ(integer("_operator.mod", 7, -3), -2);
  EXPECT_DOUBLE_EQ(run_scalar_op("_operator.floordiv", {7.0, std::int64_t{-2}}).toDouble(), -4.0);
  EXPECT_DOUBLE_EQ(run_scalar_op("_operator.truediv", {std::int64_t{1}, std::int64_t{4}}).toDouble(), 0.25);
}

TEST(ScalarOps, IntegersStayIntegersAndFloatsFloats) {
  EXPECT_TRUE(run_scalar_op("_operator.add", {std::int64_t{1}, std::int64_t{2}}).isInt());
  EXPECT_TRUE(run_scalar_op("_operator.mul", {std::int64_t{2}, 1.5}).isDouble());
  EXPECT_EQ(integer("_operator.pow", 3, 4), 81);
  EXPECT_EQ(integer("_operator.pow", -1, kMax), -1);
  EXPECT_TRUE(run_scalar_op("_operator.pow", {std::int64_t{2}, std::int64_t{-1}}).isDouble());
  EXPECT_EQ(run_scalar_op("math.trunc", {-2.7}).toInt(), -2);
  EXPECT_EQ(run_scalar_op("math.floor", {-2.1}).toInt(), -3);
}

TEST(ScalarOps, ComparisonsAndChoices) {
  EXPECT_TRUE(run_scalar_op("_operator.lt", {std::int64_t{1}, 1.5}).toBool());
  EXPECT_TRUE(run_scalar_op("_operator.and_", {true, true}).toBool());
  EXPECT_FALSE(run_scalar_op("torch.sym_not", {true}).toBool());
  EXPECT_EQ(run_scalar_op("torch.sym_ite", {false, std::int64_t{1}, std::int64_t{2}}).toInt(), 2);
  EXPECT_EQ(integer("torch.sym_max", 3, 5), 5);
  EXPECT_EQ(integer("torch.sym_min", 3, 5), 3);
  EXPECT_EQ(run_scalar_op("torch.sym_sum", {std::int64_t{1}, std::int64_t{2}, std::int64_t{4}}).toInt(), 7);
}

TEST(ScalarOps, WhatHasNoAnswerIsAnError) {
  EXPECT_THROW(integer("_operator.floordiv", 1, 0), std::domain_error);
  EXPECT_THROW(integer("_operator.mod", 1, 0), std::domain_error);
  EXPECT_THROW(integer("_operator.floordiv", kMin, -1), std::domain_error);
  EXPECT_THROW(integer("_operator.add", kMax, 1), std::domain_error);
  EXPECT_THROW(integer("_operator.mul", kMax, 2), std::domain_error);
  EXPECT_THROW(integer("_operator.pow", 10, 40), std::domain_error);
  EXPECT_THROW(integer("_operator.lshift", 1, 99), std::domain_error);
  EXPECT_THROW(run_scalar_op("math.trunc", {1e300}), std::domain_error);
  EXPECT_THROW(run_scalar_op("_operator.add", {std::int64_t{1}}), std::domain_error);
}

}  // namespace
}  // namespace pollard::kernels
