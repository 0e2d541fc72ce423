// SPDX-License-Identifier: Apache-2.0
// Latency as a budget. Real times differ from run to run, so what is decided from times is tested with a table of
// invented ones: the ops of a network are timed once, then the file of the table is rewritten.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>

#include "graph/error.h"
#include "models/init.h"
#include "models/registry.h"
#include "pruning/latency.h"
#include "pruning/latency_rounds.h"
#include "pruning/plan.h"
#include "pruning/rewrite.h"

namespace pollard::pruning {
namespace {

using Json = nlohmann::json;
using Shape = std::vector<std::int64_t>;

/// The shape that a table's key gives an argument; empty when it has none.
Shape shape_in(const std::string& key, const std::string& argument) {
  const std::size_t at = key.find(argument + "=f32[");
  if (at == std::string::npos) return {};
  std::istringstream text(key.substr(at + argument.size() + 5, key.find(']', at) - at - argument.size() - 5));
  Shape out;
  for (std::string size; std::getline(text, size, ',');) out.push_back(std::stoll(size));
  return out;
}

std::int64_t rounded_up(std::int64_t width, std::int64_t multiple) {
  return (width + multiple - 1) / multiple * multiple;
}

/// Nanoseconds of a convolution: one for every multiply-accumulate, as if channels came in multiples.
double invented(const Shape& weight, std::int64_t positions, std::int64_t multiple) {
  return 1e-9 * static_cast<double>(rounded_up(weight[0], multiple) * rounded_up(weight[1], multiple) *
                                    weight[2] * weight[3] * positions);
}

/// Convolutions get invented times, everything else none.
void invent_times(const std::filesystem::path& path, std::int64_t multiple) {
  Json file = Json::parse(std::ifstream(path));
  for (auto& [machine, times] : file.at("machines").items())
    for (auto& [key, seconds] : times.items()) {
      seconds = 0.0;
      if (!key.starts_with("aten.conv2d")) continue;
      const Shape input = shape_in(key, "input");
      const std::int64_t stride = key.find("stride=[2") == std::string::npos ? 1 : 2;
      seconds =
          invented(shape_in(key, "weight"), input[0] * input[2] * input[3] / (stride * stride), multiple);
    }
  std::ofstream(path) << file;
}

class Latency : public testing::Test {
 protected:
  std::filesystem::path folder = std::filesystem::path(testing::TempDir()) /
                                 ("pollard-latency-" + std::to_string(::getpid()) +
                                  testing::UnitTest::GetInstance()->current_test_info()->name());
  std::filesystem::path file = folder / "new/latency.json";
  void TearDown() override { std::filesystem::remove_all(folder); }
  models::Model model = models::fresh_model(*models::find_family("cifar_resnet"),
                                            R"({"depth":8,"num_filters":[16,16,32,32],"image_size":32})", 0);
  graph::Dependencies d = graph::analyse(model.program);
  std::vector<Class> classes = classes_of(model, d, {.ratio = 0.5});

  void measure_ops() {
    LatencyTable table(file);
    OpTimer timer(model, d, table);
    const LatencyModel measured(model, d, classes, timer);
    EXPECT_GT(timer.measured(), 0u);
    EXPECT_GT(measured.dense(), 0);
    table.save();
  }

  double convolutions(const std::vector<std::int64_t>& widths) const {
    double sum = 0;
    graph::Removal removal(d);
    for (std::size_t c = 0; c < classes.size(); ++c)
      for (std::int32_t g : classes[c].groups)
        for (std::int64_t unit = widths[c]; unit < classes[c].size; ++unit)
          removal.removed[static_cast<std::size_t>(d.groups[static_cast<std::size_t>(g)].axis)].push_back(
              unit);
    const graph::Program small = rewrite(model.program, d, removal);
    for (const graph::Op& op : small.ops)
      if (op.base_name() == "conv2d") {
        const Shape output = small[op.outputs[0]].sizes();
        sum += invented(small[*op.tensor("weight")].sizes(), output[0] * output[2] * output[3], 1);
      }
    return sum;
  }
};

TEST_F(Latency, TheModelGivesEveryWidthsSumOfItsOpsTimes) {
  measure_ops();
  invent_times(file, 1);
  LatencyTable table(file);
  OpTimer timer(model, d, table);
  const LatencyModel latency(model, d, classes, timer);
  EXPECT_EQ(timer.measured(), 0u) << "the table knows all ops";
  std::vector<std::int64_t> whole;
  for (const Class& c : classes) whole.push_back(c.size);
  const double dense = convolutions(whole);
  EXPECT_NEAR(latency.seconds(axis_widths(d, classes, whole)), latency.dense(), 1e-6 * latency.dense());
  std::mt19937_64 random(0);
  for (int trial = 0; trial < 20; ++trial) {
    std::vector<std::int64_t> widths;
    for (const Class& c : classes)
      widths.push_back(1 + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(c.size)));
    EXPECT_NEAR(latency.seconds(axis_widths(d, classes, widths)) / latency.dense(),
                convolutions(widths) / dense, 1e-6);
  }
}

TEST_F(Latency, BudgetsAreMetByPredictionAloneAndTogether) {
  measure_ops();
  invent_times(file, 1);
  for (const double share : {0.7, 0.4})
    for (const bool joined : {false, true}) {
      PlanOptions options{.scope = Scope::Global};
      options.seconds_share = share;
      options.latency_table = file.string();
      if (joined) options.speedup = 2;
      const Plan plan = make_plan(model, d, options);
      ASSERT_TRUE(plan.latency);
      EXPECT_LE(plan.latency->pruned, plan.latency->most * (1 + 1e-9));
      EXPECT_NEAR(plan.latency->most, share * plan.latency->dense, 1e-9);
      EXPECT_FALSE(plan.removal.empty());
      if (joined) EXPECT_LE(2 * plan.after.macs, plan.before.macs);
    }
  PlanOptions impossible;
  impossible.max_seconds = 1e-9;
  impossible.latency_table = file.string();
  try {
    make_plan(model, d, impossible);
    FAIL() << "a nanosecond was promised";
  } catch (const UserError& error) {
    EXPECT_EQ(error.parts().code, "E0430");
  }
}

TEST_F(Latency, MultiplesThatRunFastAreChosenAndNoLayerIsPassedOver) {
  PlanOptions options{.ratio = 0.5};
  options.round_measured = true;
  options.latency_table = file.string();
  make_plan(model, d, options);
  for (const std::int64_t multiple : {1, 4, 8}) {
    invent_times(file, multiple);
    LatencyTable table(file);
    OpTimer timer(model, d, table);
    const auto found = measured_multiples(model, d, classes, timer);
    EXPECT_EQ(timer.measured(), 0u);
    for (std::size_t c = 0; c < classes.size(); ++c)
      if (classes[c].takes_part())
        EXPECT_EQ(found[c], multiple) << "class " << c << " of " << classes[c].size;
    for (const GroupPlan& group : make_plan(model, d, options).groups) {
      const auto size =
          d.axes[static_cast<std::size_t>(d.groups[static_cast<std::size_t>(group.group)].axis)].size;
      EXPECT_FALSE(group.removed.empty()) << group.kept_whole;
      EXPECT_EQ((size - std::ssize(group.removed)) % multiple, 0);
    }
  }
}

TEST_F(Latency, ATableThatIsNoneIsRefused) {
  std::filesystem::create_directories(file.parent_path());
  for (const char* text :
       {"[]", "{\"format\":\"pollard.latency/1\"}", "no JSON", "{\"format\":1,\"machines\":{}}"}) {
    std::ofstream(file) << text;
    try {
      const LatencyTable table(file);
      FAIL() << text;
    } catch (const UserError& error) {
      EXPECT_EQ(error.parts().code, "E0326") << text;
    }
  }
}

TEST_F(Latency, TimesOfOtherMachinesStay) {
  std::filesystem::create_directories(file.parent_path());
  std::ofstream(file) << R"({"format":"pollard.latency/1","machines":{"another":{"op":1.5}}})";
  {
    LatencyTable table(file);
    EXPECT_FALSE(table.find("op"));
    table.put("op", 0.25);
    table.save();
  }
  EXPECT_EQ(*LatencyTable(file).find("op"), 0.25);
  EXPECT_EQ(Json::parse(std::ifstream(file)).at("machines").at("another").at("op"), 1.5);
}

/// A machine of its own: a network takes what `true_cost` says of what was planned, each measurement times its disturbance.
struct FakeMachine {
  double short_by = 1;               ///< a plan takes this times its prediction
  double at_least = 0;               ///< and no plan less than this
  std::vector<double> disturbances;  ///< of the measurements in turn, then 1
  std::vector<double> planned;       ///< the bounds that plans were made for
  std::size_t races = 0;

  Plan plan(double asked) {
    FakeMachine& self = *this;
    return plan_for_latency(
        PlanOptions{.max_seconds = asked},
        {.plan =
             [&self](const PlanOptions& options) {
               self.planned.push_back(*options.max_seconds);
               return Plan{
                   .options = options,
                   .removal = graph::Removal(graph::Dependencies{}),
                   .groups = {},
                   .before = {},
                   .after = {},
                   .latency =
                       Forecast{.dense = 1, .most = *options.max_seconds, .pruned = *options.max_seconds},
                   .warnings = {},
                   .notes = {}};
             },
         .race =
             [&self](const Plan& plan) {
               const std::size_t i = self.races++;
               const double disturbed = i < self.disturbances.size() ? self.disturbances[i] : 1;
               return std::pair(1.0,
                                std::max(self.at_least, plan.latency->pruned * self.short_by) * disturbed);
             }});
  }
};

TEST(LatencyRounds, ADisturbedMeasurementCostsNoUnits) {
  FakeMachine machine{.disturbances = {3, 1.5}};
  EXPECT_EQ(machine.plan(0.5).latency->pruned, 0.5);
  EXPECT_EQ(machine.planned.size(), 1u);
}

TEST(LatencyRounds, APredictionThatFallsShortIsMadeUpFor) {
  FakeMachine machine{.short_by = 1.25};
  const Plan plan = machine.plan(0.5);
  EXPECT_NEAR(plan.latency->pruned, 0.4, 1e-12);
  EXPECT_EQ(plan.latency->over(), 0);
  EXPECT_EQ(*plan.options.max_seconds, 0.5);
}

TEST(LatencyRounds, UnitsLostToALongDisturbanceComeBack) {
  FakeMachine machine{.disturbances = {4, 4, 4}};
  EXPECT_NEAR(machine.plan(0.5).latency->pruned, 0.5, 1e-12);
  EXPECT_EQ(machine.planned.size(), 3u);
  EXPECT_NEAR(machine.planned[1], 0.125, 1e-12);
}

TEST(LatencyRounds, ATimeThatIsNeverMetIsSaid) {
  FakeMachine machine{.at_least = 1};
  EXPECT_GT(machine.plan(0.5).latency->over(), 0);
  EXPECT_EQ(machine.planned.size(), 4u);
}

}  // namespace
}  // namespace pollard::pruning
