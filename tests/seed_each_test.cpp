// SPDX-License-Identifier: Apache-2.0
// LibTorch seeds its generator with the time of day: without this, a test that fails on at::randn could not be run again.
#include <ATen/Context.h>
#include <gtest/gtest.h>

namespace pollard::test {
namespace {

class SeedEachTest : public ::testing::EmptyTestEventListener {
  void OnTestStart(const ::testing::TestInfo&) override { at::manual_seed(20240229); }
};

/// GoogleTest owns the listener.
[[maybe_unused]] const bool kRegistered =
    (::testing::UnitTest::GetInstance()->listeners().Append(new SeedEachTest), true);

}  // namespace
}  // namespace pollard::test
