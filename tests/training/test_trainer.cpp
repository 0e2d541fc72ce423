// SPDX-License-Identifier: Apache-2.0
// The run as a whole: it learns, a resumed run equals an unbroken one bit for bit, pruning on the way meets its budget.
#include <gtest/gtest.h>

#include <algorithm>

#include "graph/cost.h"
#include "graph/error.h"
#include "kernels/communicator.h"
#include "kernels/executor.h"
#include "models/io/cancel.h"
#include "pruning/rewrite.h"
#include "tests/training/support.h"

namespace pollard::training {
namespace {

using test::Folder;

const std::unique_ptr<kernels::Communicator> alone = kernels::single_process();

TrainingOptions options(std::int64_t epochs) {
  TrainingOptions out{.epochs = epochs, .batch = 16};
  out.rate = 0.05;
  out.augmentation = "RandomHorizontalFlip(p=0.1),RandomCrop(6,padding=1)";
  return out;
}

models::Model run(const Data& data, const TrainingOptions& how, Observer observer = {},
                  std::optional<Parent> parent = std::nullopt) {
  return Trainer(test::net(), std::move(parent), data, how, *alone, std::move(observer)).run();
}

void expect_equal(const models::Model& a, const models::Model& b) {
  for (const auto& [name, tensor] : a.weights) EXPECT_TRUE(at::equal(tensor, b.weights.at(name))) << name;
}

TEST(TrainingRun, Learns) {
  const Data data = test::wave_data(128, 64);
  std::vector<EpochReport> reports;
  Observer observer;
  observer.epoch = [&](const EpochReport& report) { reports.push_back(report); };
  TrainingOptions how = options(8);
  how.augmentation.clear();
  run(data, how, observer);
  ASSERT_EQ(reports.size(), 8u);
  EXPECT_LT(reports.back().loss, 0.5 * reports.front().loss);
  EXPECT_GT(reports.back().validation.at(1).value, 0.9) << reports.back().validation.at(1).name;
}

TEST(TrainingRun, StopsWhenTheTargetIsReached) {
  const Data data = test::wave_data(128, 64);
  TrainingOptions how = options(30);
  how.augmentation.clear();
  how.target = 0.8;
  int epochs = 0;
  Observer observer;
  observer.epoch = [&](const EpochReport&) { ++epochs; };
  run(data, how, observer);
  EXPECT_LT(epochs, 30);
}

// Every part of the state counts: momenta, averages, strengths, the epoch's half-way sums, order and augmentation.
class Resume : public ::testing::TestWithParam<const char*> {
 protected:
  static TrainingOptions settings(const Folder& folder) {
    TrainingOptions how = options(4);
    const std::string kind = GetParam();
    if (kind == "adamw") how.optimiser.kind = OptimiserOptions::Kind::AdamW;
    if (kind == "ema") how.average = 0.9;
    if (kind == "mixup") how.mixup = 0.3;
    if (kind == "growing")
      how.sparsity = {.kind = SparsityOptions::Kind::Growing, .strength = 0.01, .interval = 3};
    if (kind == "pruned") how.prune = pruning::PlanOptions{.speedup = 1.5};
    how.distillation.annealed = kind == "distilled";
    how.checkpoint = folder / "run.checkpoint";
    return how;
  }
  static std::optional<Parent> parent() {
    return GetParam() == std::string("distilled") ? std::optional<Parent>(test::net()) : std::nullopt;
  }
};

TEST_P(Resume, EqualsAnUnbrokenRunBitForBit) {
  const Folder one, two;
  const Data data = test::wave_data(64, 32);
  const models::Model whole = run(data, settings(one), {}, parent());
  for (const std::int64_t stop :
       {4, 5, 11, 16}) {  // an epoch has four steps: before a validation, and within epochs
    TrainingOptions how = settings(two);
    how.resume = stop > 4;
    Observer observer;
    observer.step = [&](std::int64_t epoch, std::int64_t done, std::int64_t steps) {
      if (epoch * steps + done == stop) models::io::request_cancel();
    };
    try {
      run(data, how, observer, parent());
      ADD_FAILURE() << "was not interrupted";
    } catch (const UserError& error) {
      EXPECT_EQ(error.parts().code, "E0515");
      EXPECT_EQ(error.exit(), Exit::Interrupted);
    }
    models::io::request_cancel(false);
  }
  TrainingOptions how = settings(two);
  how.resume = true;
  expect_equal(whole, run(data, how, {}, parent()));
}

INSTANTIATE_TEST_SUITE_P(State, Resume,
                         ::testing::Values("sgd", "adamw", "ema", "mixup", "growing", "pruned", "distilled"),
                         [](const auto& one) { return std::string(one.param); });

TEST(TrainingRun, IsNotResumedWithOtherOptions) {
  const Folder folder;
  const Data data = test::wave_data(64);
  TrainingOptions how = options(1);
  how.checkpoint = folder / "run.checkpoint";
  how.resume = true;
  try {
    run(data, how);
    ADD_FAILURE() << "there is nothing to resume";
  } catch (const UserError& error) {
    EXPECT_EQ(error.parts().code, "E0214");
  }
  how.resume = false;
  run(data, how);
  how.resume = true;
  const auto refused = [&](const TrainingOptions& other, const char* what) {
    try {
      run(data, other);
      ADD_FAILURE() << what << " differs";
    } catch (const UserError& error) {
      EXPECT_EQ(error.parts().code, "E0385");
    }
  };
  TrainingOptions other = how;
  other.rate = 0.07;
  refused(other, "the rate");
  other = how;
  other.prune = pruning::PlanOptions{.speedup = 2};
  refused(other, "the budget");
}

TEST(TrainingRun, IsNotResumedToAnotherBudget) {
  const Folder folder;
  const Data data = test::wave_data(64);
  TrainingOptions how = options(2);
  how.checkpoint = folder / "run.checkpoint";
  how.prune = pruning::PlanOptions{.speedup = 1.5};
  run(data, how);
  how.resume = true;
  how.prune->speedup = 2;
  try {
    run(data, how);
    ADD_FAILURE() << "the budget differs";
  } catch (const UserError& error) {
    EXPECT_EQ(error.parts().code, "E0385");
  }
}

TEST(TrainingRun, PrunesOnTheWayToTheBudget) {
  const Data data = test::wave_data(64);
  TrainingOptions how = options(6);
  how.prune = pruning::PlanOptions{.speedup = 2};
  how.prune_steps = 2;
  int prunings = 0;
  Observer observer;
  observer.pruned = [&](const pruning::Plan&, const models::Model&, const graph::Dependencies&) {
    ++prunings;
  };
  const models::Model dense = test::net();
  Trainer trainer(dense, dense, data, how, *alone, observer);
  const models::Model pruned = trainer.run();
  EXPECT_EQ(prunings, 2);
  EXPECT_LE(trainer.network().cost().macs, TrainedModel(dense).cost().macs / 2);
  EXPECT_LT(pruned.weights.at("fc.weight").size(1), 8);
  for (const auto& [name, momentum] : trainer.optimiser().state().at("momentum"))
    EXPECT_EQ(momentum.sizes(), pruned.weights.at(name).sizes()) << name;
}

/// With a learning rate of nothing, what differs from the network before the pruning is the pruning's doing.
TEST(TrainingRun, RepairsWhatAPruningLeaves) {
  const Data data = test::wave_data(256);
  TrainingOptions how = options(8);
  how.augmentation.clear();
  const models::Model trained = run(data, how);
  how.epochs = 2;
  how.rate = 0;
  how.prune = pruning::PlanOptions{.speedup = 2};
  const std::vector<at::Tensor> inputs{test::waves(256).first};
  const auto outputs = [&](const models::Model& model) {
    return kernels::Executor(model.program).run(model.weights, inputs)[0];
  };
  const auto error = [&](pruning::RepairMethod method) {
    how.repair = method;
    Observer observer;
    at::Tensor wanted;
    std::size_t layers = 0;
    observer.pruned = [&](const pruning::Plan&, const models::Model& before, const graph::Dependencies&) {
      wanted = outputs(before);
    };
    observer.repaired = [&](const pruning::RepairReport& report) { layers = report.ops.size(); };
    const models::Model pruned = Trainer(trained, std::nullopt, data, how, *alone, observer).run();
    EXPECT_EQ(layers > 0, method != pruning::RepairMethod::None);
    return (outputs(pruned) - wanted).norm().item<double>() / wanted.norm().item<double>();
  };
  EXPECT_LT(error(pruning::RepairMethod::LeastSquares), 0.7 * error(pruning::RepairMethod::None));
}

TEST(TrainingRun, SlicesWhatIsKeptBesideWeightsWithThem) {
  const models::Model dense = test::net();
  const TrainedModel network(dense);
  const graph::Dependencies& d = network.dependencies();
  const pruning::Plan plan = pruning::make_plan(dense, d, {.ratio = 0.5});
  const models::Model pruned = pruning::prune(dense, d, plan.removal);
  std::map<std::string, at::Tensor> momenta;
  for (const Optimiser::Parameter& p : network.parameters()) momenta[p.name] = p.tensor.detach() * 2;
  const auto sliced = network.sliced(momenta, plan.removal);
  ASSERT_EQ(sliced.size(), momenta.size());
  for (const auto& [name, tensor] : sliced)
    EXPECT_TRUE(at::equal(tensor, pruned.weights.at(name) * 2)) << name;
  EXPECT_LT(sliced.at("conv2.weight").numel(), momenta.at("conv2.weight").numel());
}

TEST(TrainingRun, LearnsInBf16) {
  const Data data = test::wave_data(128);
  std::vector<double> losses;
  Observer observer;
  observer.epoch = [&](const EpochReport& report) { losses.push_back(report.loss); };
  TrainingOptions how = options(6);
  how.augmentation.clear();
  how.autocast = true;
  const models::Model trained = run(data, how, observer);
  EXPECT_LT(losses.back(), 0.6 * losses.front());
  for (const auto& [name, tensor] : trained.weights)
    EXPECT_NE(tensor.scalar_type(), at::kBFloat16) << name << ": weights stay as they were";
}

TEST(TrainingRun, SaysWhenItDiverges) {
  const Data data = test::wave_data(64);
  TrainingOptions how = options(30);
  how.rate = 1e18;
  try {
    run(data, how);
    ADD_FAILURE() << "did not diverge";
  } catch (const UserError& error) {
    EXPECT_EQ(error.parts().code, "E0215");
  }
}

TEST(Distillation, PullsTheStudentTowardsItsParent) {
  const Data data = test::wave_data(64);
  TrainingOptions teach = options(10);
  const models::Model parent = run(data, teach);
  const graph::Dependencies d = graph::analyse(parent.program);
  TrainingOptions how = options(4);
  how.prune = pruning::PlanOptions{.speedup = 1.5};
  how.augmentation.clear();
  const auto distance = [&](bool taught) {
    TrainingOptions o = how;
    o.distillation.logits = 1;
    const std::optional<models::Model> teacher = taught ? std::optional(parent) : std::nullopt;
    const models::Model student = Trainer(parent, teacher, data, o, *alone).run();
    TrainedModel a(parent), b(student);
    const auto metrics = evaluate(b, b.weights(), *data.train, {}, *alone, {}, &a);
    return 1 - metrics.value("fidelity");
  };
  EXPECT_LT(distance(true), 0.8 * distance(false));
}

TEST(Distillation, AParentThatKnowsNothingHoldsBackOnlyWhileItsPartLasts) {
  const Data data = test::wave_data(128, 64);
  const auto accuracy = [&](bool annealed) {
    TrainingOptions how = options(8);
    how.augmentation.clear();
    how.distillation.annealed = annealed;
    double last = 0;
    Observer observer;
    observer.epoch = [&](const EpochReport& report) { last = report.validation.at(1).value; };
    run(data, how, observer, Parent(test::net()));
    return last;
  };
  EXPECT_GT(accuracy(true), accuracy(false) + 0.2);
}

TEST(Distillation, ReadsWhereUnitsLieFromThePlanInThePrunedFile) {
  models::Model dense = test::net();
  const graph::Dependencies d = graph::analyse(dense.program);
  const pruning::Plan plan = pruning::make_plan(dense, d, {.ratio = 0.25});
  models::Model pruned = pruning::prune(dense, d, plan.removal);
  EXPECT_TRUE(parent_of(pruned, dense).kept.state().empty());
  pruned.metadata["pollard.plan"] = pruning::to_json(plan, dense, d);
  const KeptUnits kept = parent_of(pruned, dense).kept;
  EXPECT_FALSE(kept.state().empty());
  for (const graph::Value& value : pruned.program.values) {
    const auto all = std::ranges::find(dense.program.values, value.name, &graph::Value::name);
    if (all == dense.program.values.end() || value.shape.size() < 2) continue;
    const at::Tensor theirs = at::empty(all->sizes());
    EXPECT_EQ(kept.of(value.name, theirs, {all->sizes(), 2}).sizes().vec(), value.sizes()) << value.name;
  }
  dense.sha256 = "another";
  EXPECT_TRUE(parent_of(pruned, dense).kept.state().empty());
}

TEST(Distillation, FindsHiddenStatesThroughTheKeptUnits) {
  const models::Model dense = test::net();
  const graph::Dependencies d = graph::analyse(dense.program);
  graph::Removal removal(d);
  ASSERT_FALSE(d.groups.empty());
  removal.removed[static_cast<std::size_t>(d.groups[0].axis)] = {1, 4};
  KeptUnits kept;
  kept.prune(dense.program, d, removal);
  ASSERT_FALSE(kept.state().empty());
  for (const auto& [key, indices] : kept.state()) {
    if (indices.numel() != 6) continue;
    EXPECT_TRUE(at::equal(indices, at::tensor({0, 2, 3, 5, 6, 7}, at::kLong))) << key;
  }
}

}  // namespace
}  // namespace pollard::training
