// SPDX-License-Identifier: Apache-2.0
// A network whose course depends on the data is still one fixed program.
#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <set>

#include "models/capture.h"
#include "models/golden_fill.h"
#include "models/registry.h"

namespace pollard::models {
namespace {

/// Series of a few kinds, each sample another: so that the router has something to tell apart.
at::Tensor series(std::int64_t seed) {
  const at::Tensor t = at::arange(24, at::kFloat).view({1, 24, 1});
  const at::Tensor noise = golden_unit("noise " + std::to_string(seed), {6, 24, 3});
  const at::Tensor period = at::arange(2, 8, at::kFloat).add(static_cast<double>(seed)).view({6, 1, 1});
  return t.div(period).sin().mul(3).add(noise.mul(static_cast<double>(seed)));
}

/// The experts each sample of each layer is sent to.
std::multiset<std::string> routes(const TapRecorder& recorder) {
  std::multiset<std::string> out;
  for (const auto& [name, logits] : recorder.taps()) {
    if (!name.starts_with("router")) continue;
    const at::Tensor chosen = std::get<0>(std::get<1>(logits.topk(2, -1)).sort(-1));
    for (std::int64_t i = 0; i < chosen.size(0); ++i)
      out.insert(name + " " + std::to_string(chosen[i][0].item<std::int64_t>()) +
                 std::to_string(chosen[i][1].item<std::int64_t>()));
  }
  return out;
}

TEST(Pathformer, OneProgramServesInputsThatRouteDifferently) {
  const Family& family = *find_family("pathformer");
  const auto network = family.build(family.small_specs.front());
  network->initialise(at::make_generator<at::CPUGeneratorImpl>(1));
  const Captured captured = capture(*network);
  const kernels::Executor executor(captured.program);
  const at::NoGradGuard no_grad;
  std::set<std::multiset<std::string>> seen;
  std::set<std::string> distinct;
  for (const std::int64_t seed : {0, 1, 5}) {
    const TapRecorder recorder;
    const at::Tensor x = series(seed);
    const Result expected = network->forward({x});
    const auto got = executor.run(captured.weights, {x});
    for (std::size_t i = 0; i < got.size(); ++i)
      EXPECT_TRUE(at::allclose(got[i], expected.items()[i].second, 1e-5, 1e-6)) << seed;
    const auto taken = routes(recorder);
    seen.insert(taken);
    distinct.insert(taken.begin(), taken.end());
  }
  EXPECT_GT(seen.size(), 1U);      // the batches were routed differently,
  EXPECT_GT(distinct.size(), 2U);  // and not all samples of a layer alike
}

/// An expert whose output would overflow the exponential does no harm while it is not chosen.
TEST(Pathformer, ExpertsThatAreNotChosenDoNotCount) {
  const Family& family = *find_family("pathformer");
  const auto network = family.build(family.small_specs.front());
  network->initialise(at::make_generator<at::CPUGeneratorImpl>(1));
  for (const auto& entry : network->entries()) {
    if (entry.key == "AMS_lists.0.w_gate.bias") entry.tensor()[2] = -1e6;
    if (entry.key == "AMS_lists.0.experts.2.ff.3.bias") entry.tensor().fill_(1e6);
  }
  const at::NoGradGuard no_grad;
  const Result loud = network->forward({series(1)});
  EXPECT_TRUE(loud.first().isfinite().all().item<bool>());
  for (const auto& entry : network->entries())
    if (entry.key == "AMS_lists.0.experts.2.ff.3.bias") entry.tensor().fill_(0);
  EXPECT_TRUE(at::equal(network->forward({series(1)}).first(), loud.first()));
}

}  // namespace
}  // namespace pollard::models
