// SPDX-License-Identifier: Apache-2.0
// The three forms of the matrix LSTM against each other and against the formula written out.
#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "models/capture.h"
#include "models/layers/mlstm.h"
#include "models/registry.h"

namespace pollard::models {
namespace {

MlstmInputs random_inputs(std::int64_t length, double gate_scale = 1, std::int64_t d = 5) {
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(7);
  const auto normal = [&](at::IntArrayRef shape) { return at::randn(shape, generator, at::kDouble); };
  MlstmInputs x{normal({2, 3, length, d}), normal({2, 3, length, d}), normal({2, 3, length, d}),
                normal({2, 3, length}), normal({2, 3, length})};
  x.i.mul_(gate_scale);
  x.f.mul_(gate_scale);
  return x;
}

MlstmInputs from_to(const MlstmInputs& x, std::int64_t first, std::int64_t last) {
  const auto cut = [&](const at::Tensor& t) { return t.slice(2, first, last); };
  return {cut(x.q), cut(x.k), cut(x.v), cut(x.i), cut(x.f)};
}

/// The paper's matrix of logarithms, with the maximum of each row.
at::Tensor written_out(const MlstmInputs& x) {
  const std::int64_t length = x.q.size(2);
  const at::Tensor F = at::log_sigmoid(x.f).cumsum(-1);
  const at::Tensor later = at::ones({length, length}, at::kBool).triu(1);
  const at::Tensor L =
      F.unsqueeze(-1).sub(F.unsqueeze(-2)).add(x.i.unsqueeze(-2)).masked_fill(later, -INFINITY);
  const at::Tensor m = L.amax(-1, true), A = at::matmul(x.q, x.k.transpose(-1, -2)).mul(L.sub(m).exp());
  return at::matmul(A, x.v).div(at::maximum(A.sum(-1, true).abs(), m.neg().exp()).add(1e-6));
}

void expect_close(const at::Tensor& a, const at::Tensor& b, double tolerance, const std::string& what) {
  ASSERT_EQ(a.sizes(), b.sizes()) << what;
  EXPECT_LE(a.sub(b).abs().max().item<double>(), tolerance * b.abs().max().item<double>()) << what;
}

void expect_same_state(const MlstmState& a, const MlstmState& b, const std::string& what) {
  expect_close(a.C, b.C, 1e-12, what + " C");
  expect_close(a.n, b.n, 1e-12, what + " n");
  expect_close(a.m, b.m, 1e-12, what + " m");
}

TEST(Mlstm, TheParallelFormIsTheFormula) {
  for (const double scale : {0.1, 1.0, 10.0, 300.0}) {
    const MlstmInputs x = random_inputs(23, scale);
    expect_close(mlstm_parallel(x), written_out(x), 1e-10, "gates times " + std::to_string(scale));
  }
}

TEST(Mlstm, ChunksOfAnyLengthGiveTheParallelForm) {
  const MlstmInputs x = random_inputs(23);
  for (const std::int64_t chunk : {1, 2, 7, 22, 23, 64})
    expect_close(mlstm_chunkwise(x, chunk, KeepState::No).h, mlstm_parallel(x), 1e-12,
                 "chunk " + std::to_string(chunk));
}

TEST(Mlstm, ChunksFromTheRecurrencesStateGiveTheRecurrentForm) {
  const MlstmInputs x = random_inputs(23);
  const MlstmOutput steps = mlstm_recurrent(x, MlstmState::zeros(x));
  for (const std::int64_t chunk : {1, 4, 23}) {
    const MlstmOutput chunks = mlstm_chunkwise(x, chunk, KeepState::Yes, MlstmState::zeros(x));
    expect_close(chunks.h, steps.h, 1e-12, "chunk " + std::to_string(chunk));
    expect_same_state(chunks.state, steps.state, "chunk " + std::to_string(chunk));
  }
}

/// They start from different pasts, which only the small number in the divisor can tell.
TEST(Mlstm, TheRecurrentAndTheParallelFormDifferByTheEpsilonAlone) {
  const MlstmInputs x = random_inputs(23);
  expect_close(mlstm_recurrent(x, MlstmState::zeros(x)).h, mlstm_parallel(x), 1e-4, "forms");
}

TEST(Mlstm, AStateCarriesASequenceOn) {
  const MlstmInputs x = random_inputs(23);
  const MlstmOutput whole = mlstm_chunkwise(x, 6, KeepState::Yes);
  const MlstmOutput first = mlstm_chunkwise(from_to(x, 0, 10), 6, KeepState::Yes);
  const MlstmOutput rest = mlstm_chunkwise(from_to(x, 10, 23), 6, KeepState::Yes, first.state);
  expect_close(at::cat({first.h, rest.h}, 2), whole.h, 1e-12, "h");
  expect_same_state(rest.state, whole.state, "carried");
  const MlstmOutput steps = mlstm_recurrent(from_to(x, 10, 23), first.state);
  expect_close(steps.h, rest.h, 1e-12, "steps from a chunk's state");
}

TEST(Mlstm, FormsHaveEqualGradients) {
  const auto gradients = [](const std::function<at::Tensor(const MlstmInputs&)>& form) {
    const MlstmInputs x = random_inputs(11, 3);
    for (const at::Tensor* t : {&x.q, &x.k, &x.v, &x.i, &x.f}) t->requires_grad_(true);
    form(x).square().sum().backward();
    return std::vector<at::Tensor>{x.q.grad(), x.k.grad(), x.v.grad(), x.i.grad(), x.f.grad()};
  };
  const auto expected = gradients(written_out);
  const auto parallel = gradients(mlstm_parallel);
  const auto chunks = gradients([](const MlstmInputs& x) { return mlstm_chunkwise(x, 4, KeepState::No).h; });
  for (std::size_t i = 0; i < expected.size(); ++i) {
    expect_close(parallel[i], expected[i], 1e-9, "parallel, input " + std::to_string(i));
    expect_close(chunks[i], expected[i], 1e-9, "chunkwise, input " + std::to_string(i));
  }
}

/// A gate far above all earlier ones would overflow the weight of a position nobody may read yet.
TEST(Mlstm, LargeGatesStayFiniteInSinglePrecision) {
  MlstmInputs x = random_inputs(16, 300);
  x.i = x.i.abs();
  x.f = x.f.div(100);
  MlstmInputs single{x.q.to(at::kFloat), x.k.to(at::kFloat), x.v.to(at::kFloat), x.i.to(at::kFloat),
                     x.f.to(at::kFloat)};
  single.i.requires_grad_(true);
  const at::Tensor h = mlstm_parallel(single);
  h.square().sum().backward();
  EXPECT_TRUE(single.i.grad().isfinite().all().item<bool>());
  expect_close(h.detach().to(at::kDouble), mlstm_parallel(x), 1e-3, "parallel");
  const at::NoGradGuard no_grad;
  expect_close(mlstm_chunkwise(single, 5, KeepState::No).h.to(at::kDouble), mlstm_parallel(x), 1e-3,
               "chunkwise");
}

TEST(Mlstm, ACellAloneIsCapturedInEachForm) {
  const Family& family = *find_family("mlstm_cell");
  std::vector<at::Tensor> outputs;
  for (const std::string form : {"parallel", "recurrent", "chunkwise"}) {
    const auto network = family.build(
        R"({"dim":16,"num_heads":2,"seq":9,"chunk":4,"network":"cell","form":")" + form + R"("})");
    network->initialise(at::make_generator<at::CPUGeneratorImpl>(1));
    const Captured captured = capture(*network);
    const at::NoGradGuard no_grad;
    const auto inputs = network->example_inputs();
    const auto got = kernels::Executor(captured.program).run(captured.weights, inputs);
    expect_close(got.at(0), network->forward(inputs).first(), 1e-6, form);
    outputs.push_back(got.at(0));
  }
  expect_close(outputs[2], outputs[0], 1e-5, "chunkwise and parallel");
  expect_close(outputs[1], outputs[0], 1e-3, "recurrent and parallel");
}

TEST(Mlstm, AVisionLstmInChunksIsTheSameNetwork) {
  for (const std::string name : {"vision_lstm", "vision_lstm2"}) {
    const Family& family = *find_family(name);
    std::vector<at::Tensor> outputs;
    for (const std::string form : {"parallel", "chunkwise"}) {
      const auto network = family.build(
          R"({"dim":16,"input_shape":[3,24,24],"patch_size":4,"depth":2,"mlstm_chunk":7,"mlstm":")" + form +
          R"("})");
      network->initialise(at::make_generator<at::CPUGeneratorImpl>(1));
      for (const auto& entry : network->entries())
        if (entry.key.starts_with("head."))
          entry.tensor().normal_(0, 1, at::make_generator<at::CPUGeneratorImpl>(2));
      network->to(at::kDouble);
      const at::NoGradGuard no_grad;
      outputs.push_back(network->forward({network->example_inputs().at(0).to(at::kDouble)}).first());
    }
    expect_close(outputs[1], outputs[0], 1e-10, name);
  }
}

TEST(Mlstm, FreshCellsForgetSlowlyAndAtDifferentRates) {
  MlstmCell cell({.width = 16, .heads = 4});
  cell.initialise(at::make_generator<at::CPUGeneratorImpl>(1));
  EXPECT_TRUE(at::equal(cell.fgate.bias, at::tensor({3.F, 4.F, 5.F, 6.F})));
  EXPECT_EQ(cell.fgate.weight.abs().max().item<float>(), 0);
  EXPECT_EQ(cell.igate.weight.abs().max().item<float>(), 0);
  EXPECT_GT(cell.igate.bias.abs().max().item<float>(), 0);
  EXPECT_EQ(cell.norm_weight.abs().max().item<float>(), 0);
}

}  // namespace
}  // namespace pollard::models
