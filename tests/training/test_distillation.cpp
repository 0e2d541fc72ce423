// SPDX-License-Identifier: Apache-2.0
// Distillation draws hidden states and attention maps of a pruned network towards its parent's at the units that are left:
// maps that are ops of their own, maps inside fused attention, heads joined with the samples in one dimension.
#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <cmath>

#include "kernels/communicator.h"
#include "pruning/rewrite.h"
#include "tests/training/support.h"

namespace pollard::training {
namespace {

constexpr std::int64_t kSamples = 12;  // more than the two of the exported examples

struct Network {
  std::string name;
  std::int64_t heads, positions;
  at::Tensor samples;
};

Network fused() {
  return {"syn_sdpa", 4, 6, at::randn({kSamples, 6, 16}, at::make_generator<at::CPUGeneratorImpl>(1))};
}
Network joined_heads() {
  return {"mha", 4, 8, at::randn({kSamples, 8, 32}, at::make_generator<at::CPUGeneratorImpl>(2))};
}

models::Model load(const Network& n) {
  return models::load(pollard::test::data_folder() + "/cases/" + n.name + ".pt2");
}

/// [samples, heads, positions, positions] of the network's one attention, found without the code under test.
at::Tensor maps_of(const models::Model& model, const Network& n, std::int64_t heads) {
  TrainedModel network(model);
  at::Tensor out;
  kernels::RunOptions run;
  run.before_op = [&](const graph::Op& op, std::size_t, std::vector<c10::IValue>& stack) {
    if (op.base_name() == "scaled_dot_product_attention") {
      const double scale =
          stack[6].isNone() ? 1 / std::sqrt(double(stack[0].toTensor().size(-1))) : stack[6].toDouble();
      out = (at::matmul(stack[0].toTensor(), stack[1].toTensor().transpose(2, 3)) * scale).softmax(3);
    }
    if (op.base_name() == "softmax") out = stack[0].toTensor().softmax(-1);
    return false;
  };
  network.executor(kSamples).run(network.weights(), {n.samples}, run);
  return out.view({kSamples, heads, n.positions, n.positions}).clone();
}

struct Pupil {
  models::Model dense, pruned;
  std::vector<std::int64_t> heads;  ///< of the parent that are left
};

/// Without its first and third head, and with half of every head's dimensions gone.
Pupil pruned(const Network& n) {
  Pupil out{.dense = load(n), .pruned = {}, .heads = {1, 3}};
  const graph::Dependencies d = graph::analyse(out.dense.program);
  pruning::Plan plan = pruning::make_plan(out.dense, d, {.head_dim = 0.5});
  for (pruning::GroupPlan& group : plan.groups) {
    const auto axis = static_cast<std::size_t>(d.groups[static_cast<std::size_t>(group.group)].axis);
    if (d.axes[axis].role != graph::Role::Head) continue;
    plan.removal.removed[axis] = group.removed = {0, 2};
  }
  out.pruned = pruning::prune(out.dense, d, plan.removal);
  out.pruned.metadata["pollard.plan"] = pruning::to_json(plan, out.dense, d);
  return out;
}

double distance_of_maps(const Pupil& pupil, const models::Model& student, const Network& n) {
  const at::Tensor theirs =
      maps_of(pupil.dense, n, n.heads).index_select(1, at::tensor(pupil.heads, at::kLong));
  return (maps_of(student, n, std::ssize(pupil.heads)) - theirs).abs().sum(3).mean().item<double>();
}

/// A student that learned from its parent alone, by `what`.
models::Model taught(const Pupil& pupil, const Network& n, const DistillationOptions& what) {
  TrainedModel student(pupil.pruned);
  Parent parent = parent_of(pupil.pruned, pupil.dense);
  const auto alone = kernels::single_process();
  Distillation distillation(std::move(parent.model), what, *alone);
  distillation.follow(student.model().program, std::move(parent.kept));
  EXPECT_EQ(distillation.attention_maps(), what.attention > 0 ? 1u : 0u);
  Optimiser optimiser({.kind = OptimiserOptions::Kind::AdamW}, student.parameters());
  double first = 0, last = 0;
  for (int step = 0; step < 150; ++step) {
    optimiser.clear_gradients();
    kernels::RunOptions run;
    run.autograd = true;
    distillation.watch(run, student.model().program);
    const auto outputs = student.executor(kSamples).run(student.weights(), {n.samples}, run);
    const c10::AutoGradMode with_gradients(true);
    const at::Tensor loss = distillation.loss(at::zeros({}), 1, {n.samples}, outputs);
    last = loss.item<double>();
    if (step == 0) first = last;
    loss.backward();
    optimiser.step(0.01);
  }
  EXPECT_LT(last, 0.5 * first) << n.name;
  return student.snapshot();
}

TEST(Distillation, DrawsAttentionMapsToThoseOfTheSameHeads) {
  for (const Network& n : {fused(), joined_heads()}) {
    const Pupil pupil = pruned(n);
    const double before = distance_of_maps(pupil, pupil.pruned, n);
    EXPECT_GT(before, 0.02) << n.name << ": there is nothing to learn";
    const models::Model student = taught(pupil, n, {.logits = 0, .hidden = 0, .attention = 1});
    EXPECT_LT(distance_of_maps(pupil, student, n), 0.5 * before) << n.name;
    Pupil other = pupil;
    other.heads = {0, 2};  // the map of heads matters: those that left are as far away as ever
    EXPECT_GT(distance_of_maps(other, student, n), 0.8 * distance_of_maps(other, pupil.pruned, n)) << n.name;
  }
}

/// What the layer behind the attention reads, at the units it still has.
TEST(Distillation, DrawsHiddenStatesToTheUnitsThatAreLeft) {
  const Network n = fused();
  const Pupil pupil = pruned(n);
  taught(pupil, n, {.logits = 0, .hidden = 1, .attention = 0});
}

}  // namespace
}  // namespace pollard::training
