// SPDX-License-Identifier: Apache-2.0
// What runs on a CUDA device gives what the CPU gives: programs, replays, own operators, reductions, training.
#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "graph/error.h"
#include "kernels/attention/cascaded_attention.h"
#include "kernels/attention/focused_attention.h"
#include "kernels/attention/masked_attention.h"
#include "kernels/block_memory.h"
#include "kernels/device_info.h"
#include "kernels/device_sums.h"
#include "kernels/lowering/lowering.h"
#include "kernels/monarch.h"
#include "kernels/operators.h"
#include "kernels/recurrent/mlstm.h"
#include "kernels/replay.h"
#include "kernels/slab_sums.h"
#include "kernels/slice_gather.h"
#include "models/model.h"
#include "tests/paths.h"
#include "tests/training/support.h"
#include "training/evaluate.h"
#include "training/trainer.h"

namespace pollard {
namespace {

const at::Device kDevice(at::kCUDA, 0);
const std::unique_ptr<kernels::Communicator> alone = kernels::single_process();

/// Loads LibTorch's CUDA libraries once, before any test.
class Cuda : public ::testing::Environment {
  void SetUp() override {
    kernels::load_cuda_operators();
    at::globalContext().setAllowTF32CuDNN(false);
  }
};
const auto* const environment = ::testing::AddGlobalTestEnvironment(new Cuda);

at::Tensor f64(const at::Tensor& t) { return t.is_floating_point() ? t.to(at::kDouble) : t; }

void expect_near(const at::Tensor& got, const at::Tensor& want, double tolerance) {
  ASSERT_EQ(got.sizes(), want.sizes());
  if (want.numel() == 0) return;
  const double scale = std::max(1e-6, f64(want).abs().max().item<double>());
  EXPECT_LE(f64(got.cpu()).sub(f64(want)).abs().max().item<double>(), tolerance * scale);
}

std::vector<at::Tensor> example_inputs(const graph::Program& program) {
  std::vector<at::Tensor> out;
  for (const graph::Input* input : program.user_inputs()) {
    const graph::Value& value = program[input->value];
    if (input->constant || value.kind != graph::Value::Kind::Tensor) continue;
    const at::ScalarType type = kernels::to_scalar_type(value.dtype);
    out.push_back(at::isFloatingType(type) ? at::randn(value.sizes(), type)
                                           : at::randint(0, 2, value.sizes(), type));
  }
  return out;
}

std::vector<std::string> case_files() {
  std::vector<std::string> out;
  for (const auto& entry : std::filesystem::directory_iterator(pollard::test::data_folder() + "/cases"))
    if (entry.path().extension() == ".pt2") out.push_back(entry.path().filename().string());
  std::ranges::sort(out);
  return out;
}

class Case : public ::testing::TestWithParam<std::string> {
 protected:
  Case()
      : model(models::load(pollard::test::data_folder() + "/cases/" + GetParam())),
        inputs(example_inputs(model.program)) {}

  /// In double precision on the CPU.
  std::vector<at::Tensor> wanted() const {
    kernels::RunOptions run;
    run.compute_type = at::kDouble;
    return kernels::Executor(model.program).run(model.weights, inputs, run);
  }

  models::Model model;
  std::vector<at::Tensor> inputs;
};

TEST_P(Case, RunsOnTheDevice) {
  kernels::RunOptions run;
  run.device = kDevice;
  const auto got = kernels::Executor(model.program).run(model.weights, inputs, run);
  const auto want = wanted();
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    EXPECT_TRUE(got[i].is_cuda());
    expect_near(got[i], want[i], 1e-4);
  }
}

TEST_P(Case, LoweredAndReplayedItGivesTheSameAsOftenAsAsked) {
  kernels::Lowered lowered = kernels::lower(model.program, model.weights, {.device = at::kCUDA});
  const kernels::Weights weights = kernels::convert(lowered.weights, std::nullopt, kDevice);
  const kernels::Executor executor(std::move(lowered.program));
  kernels::RunOptions run;
  run.device = kDevice;
  std::vector<at::Tensor> others;
  for (const at::Tensor& input : inputs) others.push_back(at::zeros_like(input));
  kernels::Replay replay(executor, weights, others, run);
  const auto want = wanted();
  for (int again = 0; again < 2; ++again) {
    const auto& got = replay.run(inputs);
    ASSERT_EQ(got.size(), want.size());
    for (std::size_t i = 0; i < got.size(); ++i) expect_near(got[i], want[i], 1e-4);
    replay.run(others);
  }
}

INSTANTIATE_TEST_SUITE_P(Exported, Case, ::testing::ValuesIn(case_files()),
                         [](const auto& tested) { return tested.param.substr(0, tested.param.size() - 4); });

TEST(Operators, MlstmEqualsItsDefinition) {
  for (const std::int64_t steps : {1, 7, 33, 200}) {
    const at::Tensor q = at::rand({2, 3, steps, 24}), k = at::rand({2, 3, steps, 24}) / 5,
                     v = at::randn({2, 3, steps, 95}), i = at::randn({2, 3, steps}),
                     f = at::randn({2, 3, steps}) + 3;
    const at::Tensor want = kernels::mlstm_by_aten(f64(q), f64(k), f64(v), f64(i), f64(f), 1e-6);
    static const auto op = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("pollard::mlstm", "")
                               .typed<at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&,
                                                 const at::Tensor&, const at::Tensor&, double)>();
    const c10::InferenceMode inference;
    expect_near(op.call(q.to(kDevice), k.to(kDevice), v.to(kDevice), i.to(kDevice), f.to(kDevice), 1e-6),
                want, 2e-5);
  }
}

/// A bidirectional layer's weights with biases.
std::vector<at::Tensor> layer_weights(std::int64_t gates, std::int64_t inputs, std::int64_t hidden) {
  std::vector<at::Tensor> out;
  for (int direction = 0; direction < 2; ++direction)
    out.insert(out.end(), {at::randn({gates * hidden, inputs}) / 3, at::randn({gates * hidden, hidden}) / 9,
                           at::randn({gates * hidden}), at::randn({gates * hidden})});
  return out;
}

std::vector<at::Tensor> moved(std::vector<at::Tensor> tensors, at::Tensor (*change)(const at::Tensor&)) {
  for (at::Tensor& t : tensors) t = change(t);
  return tensors;
}

at::Tensor there(const at::Tensor& t) { return t.to(kDevice); }

using MapOperator = at::Tensor (*)(const at::Tensor& input, at::TensorList columns, at::TensorList rows);
struct MapKind {
  std::int64_t gates;
  MapOperator run, by_aten;
};

TEST(Operators, MapsReadByRecurrentLayersEqualATens) {
  for (const std::int64_t hidden : {1, 7, 33, 48, 95, 96, 200}) {
    const at::Tensor map = at::randn({2, 6, 9, 12});
    for (const MapKind& kind : {MapKind{4, kernels::bilstm2d, kernels::bilstm2d_by_aten},
                                MapKind{3, kernels::bigru2d, kernels::bigru2d_by_aten}}) {
      const auto columns = layer_weights(kind.gates, 12, hidden),
                 rows = layer_weights(kind.gates, 12, hidden + 1);
      const at::Tensor want = kind.by_aten(f64(map), moved(columns, f64), moved(rows, f64));
      expect_near(kind.run(there(map), moved(columns, there), moved(rows, there)), want, 2e-5);
    }
  }
}

/// Inputs and weights are rounded before; gates, states and tangents are on the way, which changes results by 3.4 parts in 256 at
/// most where the same roundings are simulated in double.
TEST(Operators, MapsReadInBrainFloatAreATensInDoubleUpToRounding) {
  const auto rounded = [](const at::Tensor& t) { return t.to(at::kBFloat16); };
  for (const std::int64_t hidden : {1, 7, 33, 48, 70, 95}) {
    const at::Tensor map = rounded(at::randn({2, 6, 9, 12}));
    for (const MapKind& kind : {MapKind{4, kernels::bilstm2d, kernels::bilstm2d_by_aten},
                                MapKind{3, kernels::bigru2d, kernels::bigru2d_by_aten}}) {
      const auto columns = moved(layer_weights(kind.gates, 12, hidden), rounded),
                 rows = moved(layer_weights(kind.gates, 12, hidden + 1), rounded);
      const at::Tensor got = kind.run(there(map), moved(columns, there), moved(rows, there));
      EXPECT_EQ(got.scalar_type(), at::kBFloat16);
      expect_near(got, kind.by_aten(f64(map), moved(columns, f64), moved(rows, f64)), 6.0 / 256);
    }
  }
}

TEST(Operators, BiGruEqualsATens) {
  for (const std::int64_t hidden : {1, 7, 33, 95}) {
    const auto weights = layer_weights(3, 12, hidden);
    const at::Tensor x = at::randn({5, 7, 12});
    expect_near(kernels::bigru(there(x), moved(weights, there)),
                kernels::bigru_by_aten(f64(x), moved(weights, f64)), 2e-5);
  }
}

TEST(Operators, FocusedAttentionEqualsItsDefinition) {
  for (const std::int64_t keys : {1, 7, 49, 3136})
    for (const std::int64_t d : {7, 32, 64, 95}) {
      const at::Tensor qkv = at::randn({2, keys, 3 * 3 * d}), gain = at::rand({3 * d}) + 0.5;
      const at::Tensor q = qkv.slice(2, 0, 3 * d), k = qkv.slice(2, 3 * d, 6 * d), v = qkv.slice(2, 6 * d);
      const at::Tensor want = kernels::focused_attention_by_aten(f64(q), f64(k), f64(v), f64(gain), {3, 3});
      const at::Tensor on_device = there(qkv);
      expect_near(kernels::focused_attention(on_device.slice(2, 0, 3 * d), on_device.slice(2, 3 * d, 6 * d),
                                             on_device.slice(2, 6 * d), there(gain), {3, 3}),
                  want, 2e-5);
    }
}

TEST(Operators, MaskedAttentionEqualsItsDefinition) {
  for (const std::int64_t e : {7, 64, 200, 300}) {  // 300: ATen's
    const at::Tensor q = at::randn({2, 3, 70, 33}), k = at::randn({2, 3, 95, 33}),
                     v = at::randn({2, 3, 95, e}), gate = at::tensor({1.0F, 0.0F, 0.5F}),
                     added = at::randn({2, 1, 70, 95}), read = at::rand({70, 95}).gt(0.3);
    for (const kernels::MaskedOptions& o :
         {kernels::MaskedOptions{}, {.mask = added}, {.mask = read, .scale = 0.3}, {.causal = true}}) {
      kernels::MaskedOptions wide = o, on_device = o;
      if (o.mask) wide.mask = f64(*o.mask), on_device.mask = there(*o.mask);
      expect_near(kernels::masked_attention(there(q), there(k), there(v), there(gate), on_device),
                  kernels::masked_attention_by_aten(f64(q), f64(k), f64(v), f64(gate), wide), 2e-5);
    }
  }
}

/// Windows of 20 positions in one kernel, of 500 in ATen's operators.
TEST(Operators, CascadedAttentionEqualsItsDefinition) {
  for (const std::int64_t side : {4, 100}) {
    const at::Tensor x = at::randn({2, 12, 5, side}), bias = at::randn({2, 5 * side, 5 * side});
    const std::vector<at::Tensor> qkv{at::randn({20, 6, 1, 1}) / 3, at::randn({23, 6, 1, 1}) / 3},
        qkv_bias{at::randn({20}), at::randn({23})},
        depthwise{at::randn({7, 1, 3, 3}), at::randn({8, 1, 5, 5}) / 5},
        depthwise_bias{at::randn({7}), at::randn({8})};
    const auto run = [&](at::Tensor (*on)(const at::Tensor&)) {
      const auto a = moved(qkv, on), b = moved(qkv_bias, on), c = moved(depthwise, on),
                 d = moved(depthwise_bias, on);
      return kernels::cascaded_attention(on(x), {a, b, c, d, on(bias)}, 0.4);
    };
    expect_near(run(there), run(f64), 2e-5);
  }
}

TEST(Operators, MonarchProductsEqualTheirDefinition) {
  for (const std::int64_t rows : {1, 7, 95, 300})
    for (const std::int64_t q : {4, 33, 96}) {
      const at::Tensor x = at::randn({rows, 2, 12 * 7}), first = at::randn({12, q, 7}),
                       second = at::randn({4, 33, 3 * q});
      expect_near(kernels::monarch(there(x), there(first), there(second)),
                  kernels::monarch_by_aten(f64(x), f64(first), f64(second)), 2e-5);
    }
}

TEST(Reductions, SlabSumsAreTheCpusAndTheSameEveryTime) {
  const at::Tensor weight = at::randn({70, 33, 3, 3});
  const std::vector<std::int64_t> dims{0, 1, 2};
  for (const double p : {1.0, 2.0}) {
    const auto want = kernels::slab_power_sums(weight, dims, p);
    const auto got = kernels::slab_power_sums(weight.to(kDevice), dims, p);
    EXPECT_EQ(got, kernels::slab_power_sums(weight.to(kDevice), dims, p));
    for (std::size_t d = 0; d < dims.size(); ++d)
      for (std::size_t i = 0; i < want[d].size(); ++i)
        EXPECT_NEAR(got[d][i], want[d][i], 1e-12 * (1 + want[d][i]));
  }
}

TEST(Slices, EqualTheCpusByte) {
  kernels::BlockMemory memory;
  for (const at::ScalarType type : {at::kFloat, at::kHalf, at::kDouble, at::kChar}) {
    const at::Tensor weight = at::randint(0, 100, {9, 14, 3, 5}).to(type);
    const std::map<std::int64_t, std::vector<std::int64_t>> kept{{0, {0, 3, 8}}, {1, {1, 2, 5, 13}}};
    EXPECT_TRUE(at::equal(kernels::slice_gather(weight.to(kDevice), kept, memory).cpu(),
                          kernels::slice_gather(weight, kept, memory)));
  }
}

TEST(DeviceSums, OfOneProcessAreWhatItGave) {
  const std::string id = kernels::DeviceSums::fresh_id();
  ASSERT_EQ(id.size(), 128u) << "no NCCL beside LibTorch";
  at::DeviceGuard guard(kDevice);
  kernels::DeviceSums sums(id, 0, 1);
  const at::Tensor numbers = at::randn({1000}).to(kDevice), before = numbers.clone();
  sums.start(numbers);
  sums.finish();
  EXPECT_TRUE(at::equal(numbers, before));
}

training::TrainingOptions recipe(at::Device device) {
  training::TrainingOptions out{.epochs = 3, .batch = 16};
  out.rate = 0.05;
  out.average = 0.9;
  out.clip = 1;
  out.sparsity = {.kind = training::SparsityOptions::Kind::GroupNorm, .strength = 1e-3};
  out.device = device;
  return out;
}

TEST(Training, TakesTheCpusCourse) {
  const training::Data data = training::test::wave_data(96, 32);
  const auto run = [&](at::Device device) {
    return training::Trainer(training::test::net(), training::Parent(training::test::net()), data,
                             recipe(device), *alone)
        .run();
  };
  const models::Model here = run(at::kCPU), there = run(kDevice), again = run(kDevice);
  for (const auto& [name, tensor] : here.weights) {
    EXPECT_TRUE(there.weights.at(name).is_cpu());
    EXPECT_TRUE(at::equal(there.weights.at(name), again.weights.at(name))) << name;
    if (tensor.is_floating_point()) expect_near(there.weights.at(name), tensor, 1e-3);
  }
}

TEST(Training, PrunesOnTheWayAndGoesOn) {
  const training::Data data = training::test::wave_data(96, 32);
  training::TrainingOptions how = recipe(kDevice);
  how.prune = pruning::PlanOptions{.speedup = 1.5};
  training::Trainer trainer(training::test::net(), std::nullopt, data, how, *alone);
  trainer.run();
  EXPECT_LE(trainer.network().cost().macs,
            static_cast<std::int64_t>(
                static_cast<double>(training::TrainedModel(training::test::net()).cost().macs) / 1.5));
}

TEST(Training, InBrainFloatItLearns) {
  const training::Data data = training::test::wave_data(128, 64);
  training::TrainingOptions how{.epochs = 8, .batch = 16};
  how.rate = 0.05;
  how.autocast = true;
  how.device = kDevice;
  std::vector<training::EpochReport> reports;
  training::Observer observer;
  observer.epoch = [&](const training::EpochReport& report) { reports.push_back(report); };
  training::Trainer(training::test::net(), std::nullopt, data, how, *alone, observer).run();
  EXPECT_GT(reports.back().validation.at(1).value, 0.9);
}

}  // namespace
}  // namespace pollard
