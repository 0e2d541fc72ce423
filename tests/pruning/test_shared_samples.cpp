// SPDX-License-Identifier: Apache-2.0
// Processes that share samples find what one process finds: scores, plans, error curves, repaired weights, the statistics of
// norms. The processes are threads here; test_sample_processes.py starts real ones.
#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <barrier>
#include <functional>
#include <mutex>
#include <thread>

#include "graph/error.h"
#include "kernels/communicator.h"
#include "pruning/plan.h"
#include "pruning/repair.h"
#include "pruning/rewrite.h"
#include "pruning/sensitivity.h"
#include "tests/paths.h"

namespace pollard::pruning {
namespace {

/// What the threads of a job have in common.
struct Desk {
  explicit Desk(int count) : parts(static_cast<std::size_t>(count)), meeting(count) {}
  std::vector<at::Tensor> parts;  ///< by rank
  std::barrier<> meeting;
};

class Thread final : public kernels::Communicator {
 public:
  Thread(Desk& desk, int rank) : desk_(desk), rank_(rank) {}
  int rank() const override { return rank_; }
  int size() const override { return static_cast<int>(desk_.parts.size()); }
  void all_reduce(at::Tensor& tensor) override {
    desk_.parts[static_cast<std::size_t>(rank_)] = tensor;
    desk_.meeting.arrive_and_wait();
    at::Tensor sum = desk_.parts.front().clone();
    for (std::size_t r = 1; r < desk_.parts.size(); ++r) {
      POLLARD_CHECK(desk_.parts[r].sizes() == sum.sizes(), "processes sum different things");
      sum += desk_.parts[r];
    }
    desk_.meeting.arrive_and_wait();
    tensor.copy_(sum);
  }
  void broadcast(at::Tensor&, int) override { no(); }
  std::string broadcast(std::string, int) override { no(); }
  void barrier() override { desk_.meeting.arrive_and_wait(); }
  std::unique_ptr<Pending> start_all_reduce(at::Tensor&) override { no(); }
  [[noreturn]] void abort(int status) override { std::_Exit(status); }

 private:
  [[noreturn]] static void no() { POLLARD_CHECK(false, "not for sums over samples"); }
  Desk& desk_;
  int rank_;
};

/// Runs `work` in `count` processes at once. One that throws would keep the others waiting: it ends the test program.
void in_processes(int count, const std::function<void(kernels::Communicator&)>& work) {
  Desk desk(count);
  std::vector<std::jthread> threads;
  for (int rank = 0; rank < count; ++rank)
    threads.emplace_back([&, rank]() noexcept {
      Thread self(desk, rank);
      work(self);
    });
}

struct Network {
  models::Model model;
  graph::Dependencies d;
  CalibrationSet samples;

  Network(const std::string& name, const std::vector<at::Tensor>& inputs)
      : model(models::load(test::data_folder() + "/cases/" + name + ".pt2")),
        d(graph::analyse(model.program)) {
    samples.inputs = inputs;
  }
  /// The samples as a process of `job` gets them.
  CalibrationSet shared(kernels::Communicator& job) const {
    CalibrationSet out = samples;
    out.job = &job;
    return out;
  }
};

at::Tensor noise(at::IntArrayRef shape) {
  return at::randn(shape, at::make_generator<at::CPUGeneratorImpl>(5));
}

Network convolution() {
  Network out("syn_flatten_bn_fc", {noise({72, 3, 8, 8})});
  out.samples.labels = at::arange(72, at::kLong) % 5;
  return out;
}
Network attention() { return {"mha", {noise({64, 8, 32})}}; }  // positions first inside
Network fused_attention() { return {"syn_sdpa", {noise({64, 6, 16})}}; }
Network lstm() { return {"bilstm1", {(at::arange(64 * 16, at::kLong) * 7919 % 1000).view({64, 16})}}; }

double distance(const at::Tensor& a, const at::Tensor& b) {
  return ((a - b).norm() / b.norm().clamp_min(1e-30)).item<double>();
}

const char* const kCriteria[] = {"taylor", "taylor:form=activation", "fisher:batch=4", "obd-c", "wanda",
                                 "flap",   "least-squares"};

/// Sums are added up in another order, so scores may differ by rounding.
void expect_same_scores(const Network& n, const std::string& criterion, const CalibrationSet& shared) {
  const auto score = [&](const CalibrationSet& samples) {
    return pruning::score(*make_criterion(criterion),
                          {.model = n.model, .dependencies = n.d, .seed = 3, .calibration = &samples})
        .by_group;
  };
  const auto one = score(n.samples), many = score(shared);
  ASSERT_EQ(one.size(), many.size());
  for (std::size_t g = 0; g < one.size(); ++g)
    for (std::size_t u = 0; u < one[g].size(); ++u)
      ASSERT_NEAR(many[g][u], one[g][u], 1e-9 * std::abs(one[g][u]) + 1e-300) << criterion << " group " << g;
}

TEST(SharedSamples, ScoresAreThoseOfOneProcess) {
  for (const Network& n : {convolution(), attention(), lstm()})
    for (const std::string criterion : kCriteria)
      in_processes(3, [&](kernels::Communicator& job) { expect_same_scores(n, criterion, n.shared(job)); });
}

/// A part of the samples alone scores otherwise: the test above would see a process that keeps its own part.
TEST(SharedSamples, PartsOfThemScoreOtherwise) {
  const Network n = convolution();
  const CalibrationSet part = samples_between(n.samples, 0, 24);
  const auto score = [&](const CalibrationSet& samples) {
    return pruning::score(*make_criterion("taylor"),
                          {.model = n.model, .dependencies = n.d, .calibration = &samples})
        .by_group[0][0];
  };
  EXPECT_GT(std::abs(score(part) / score(n.samples) - 1), 1e-3);
}

TEST(SharedSamples, PlansAreThoseOfOneProcessInEveryProcess) {
  const Network n = convolution();
  for (const Scope scope : {Scope::Predicted, Scope::Measured}) {
    PlanOptions options{.speedup = 1.5};
    options.scope = scope;
    options.criterion = "least-squares";
    const std::string one = to_json(make_plan(n.model, n.d, options, &n.samples), n.model, n.d);
    for (const int count : {2, 4})
      in_processes(count, [&](kernels::Communicator& job) {
        const CalibrationSet samples = n.shared(job);
        EXPECT_EQ(to_json(make_plan(n.model, n.d, options, &samples), n.model, n.d), one)
            << to_string(scope) << " in " << count;
      });
  }
}

TEST(SharedSamples, ErrorCurvesAreThoseOfOneProcessBitForBit) {
  const Network n = attention();
  PlanOptions options{.ratio = 0.5};
  const Sensitivity one = sensitivity_report(n.model, n.d, options, &n.samples);
  in_processes(2, [&](kernels::Communicator& job) {
    const CalibrationSet samples = n.shared(job);
    const Sensitivity many = sensitivity_report(n.model, n.d, options, &samples);
    ASSERT_EQ(one.points.size(), many.points.size());
    for (std::size_t c = 0; c < one.points.size(); ++c) {
      ASSERT_EQ(one.points[c].size(), many.points[c].size());
      for (std::size_t p = 0; p < one.points[c].size(); ++p) {
        EXPECT_EQ(one.points[c][p].removed, many.points[c][p].removed);
        EXPECT_EQ(one.points[c][p].sliced, many.points[c][p].sliced);
        EXPECT_EQ(one.points[c][p].repaired, many.points[c][p].repaired);
      }
    }
  });
}

/// Weights are solved for from sums of float32 products over other blocks of rows.
constexpr double kWeightTolerance = 1e-4;

void expect_same_repair(const Network& n, int count, const RepairOptions& how,
                        double tolerance = kWeightTolerance) {
  const Plan plan = make_plan(n.model, n.d, {.ratio = 0.5});
  const models::Model sliced = prune(n.model, n.d, plan.removal);
  models::Model one = sliced;
  const RepairReport report = repair(one, n.model, n.d, plan.removal, n.samples, how);
  double moved = 0;
  for (const auto& [name, weight] : one.weights)
    if (weight.is_floating_point()) moved = std::max(moved, distance(weight, sliced.weights.at(name)));
  EXPECT_GT(moved, 0.01) << "nothing was repaired";
  std::mutex mutex;
  std::vector<models::Model> results;
  in_processes(count, [&](kernels::Communicator& job) {
    models::Model many = sliced;
    const RepairReport theirs = repair(many, n.model, n.d, plan.removal, n.shared(job), how);
    EXPECT_EQ(theirs.samples, report.samples);
    EXPECT_LT(theirs.activation_bytes, report.activation_bytes);
    const std::lock_guard lock(mutex);
    results.push_back(std::move(many));
  });
  for (const models::Model& many : results)
    for (const auto& [name, weight] : one.weights) {
      EXPECT_TRUE(at::equal(many.weights.at(name), results.front().weights.at(name))) << name;
      if (weight.is_floating_point())
        EXPECT_LT(distance(many.weights.at(name), weight), tolerance) << name << " in " << count;
    }
}

TEST(SharedSamples, RepairedWeightsAreThoseOfOneProcess) {
  for (const Network& n : {convolution(), fused_attention(), lstm()})
    for (const int count : {2, 4}) expect_same_repair(n, count, {});
}

/// Layers whose rows come position by position hold out the rows of the same samples. The last layer's system, of 64 rows,
/// amplifies rounding.
TEST(SharedSamples, RowsAreOrderedBySample) {
  for (const int count : {2, 4}) expect_same_repair(attention(), count, {}, 5e-3);
}

/// Where rows are more than a layer is fitted on, the same ones are drawn of all processes' rows.
TEST(SharedSamples, RowsAreDrawnFromAllProcesses) {
  RepairOptions few;
  few.refit.max_rows = 301;
  for (const Network& n : {convolution(), lstm()}) expect_same_repair(n, 3, few);
}

TEST(SharedSamples, NormsAreMeasuredOverAllProcesses) {
  RepairOptions how;
  how.method = RepairMethod::BatchNorm;
  expect_same_repair(convolution(), 3, how);
}

TEST(SharedSamples, MemoryIsThatOfEachProcess) {
  const Network n = convolution();
  const Plan plan = make_plan(n.model, n.d, {.ratio = 0.5});
  models::Model one = prune(n.model, n.d, plan.removal);
  const RepairReport whole = repair(one, n.model, n.d, plan.removal, n.samples);
  RepairOptions bounded;
  bounded.memory_bytes = whole.activation_bytes / 4;
  in_processes(2, [&](kernels::Communicator& job) {
    models::Model many = prune(n.model, n.d, plan.removal);
    const RepairReport report = repair(many, n.model, n.d, plan.removal, n.shared(job), bounded);
    EXPECT_EQ(report.samples, 36);  // 18 in each
    EXPECT_LE(report.activation_bytes, bounded.memory_bytes);
  });
}

TEST(SharedSamples, FewerSamplesThanProcessesAreEveryones) {
  Network n = convolution();
  n.samples = samples_between(n.samples, 0, 2);
  const Plan plan = make_plan(n.model, n.d, {.ratio = 0.5});
  models::Model one = prune(n.model, n.d, plan.removal);
  repair(one, n.model, n.d, plan.removal, n.samples);
  in_processes(3, [&](kernels::Communicator& job) {
    const CalibrationSet samples = n.shared(job);
    expect_same_scores(n, "taylor", samples);
    models::Model many = prune(n.model, n.d, plan.removal);
    repair(many, n.model, n.d, plan.removal, samples);
    for (const auto& [name, weight] : one.weights)
      EXPECT_TRUE(at::equal(many.weights.at(name), weight)) << name;
  });
}

}  // namespace
}  // namespace pollard::pruning
