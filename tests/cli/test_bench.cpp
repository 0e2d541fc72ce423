// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "cli/bench/memory_meter.h"
#include "cli/bench/report.h"
#include "cli/bench/statistics.h"
#include "cli/ui/text.h"
#include "tests/cli/support/cases.h"

namespace pollard::cli {
namespace {

using nlohmann::json;
using test::case_path;
using test::run_cli;
using test::run_json;

TEST(Statistics, QuantilesInterpolate) {
  const std::vector<double> values{1, 2, 3, 4, 5};
  EXPECT_DOUBLE_EQ(quantile(values, 0.5), 3);
  EXPECT_DOUBLE_EQ(quantile(values, 0.9), 4.6);
  EXPECT_DOUBLE_EQ(quantile(values, 1), 5);
  EXPECT_TRUE(std::isnan(quantile({}, 0.5)));
}

TEST(Statistics, MedianIntervalNarrowsWithMoreRuns) {
  std::vector<double> few, many;
  for (int i = 0; i < 10; ++i) few.push_back(i / 10.0);
  for (int i = 0; i < 1000; ++i) many.push_back(i / 1000.0);
  EXPECT_GT(median_half_width(few), 3 * median_half_width(many));
  EXPECT_NEAR(median_half_width(many), 0.98 / std::sqrt(1000.0), 1e-3);
}

TEST(MemoryMeter, SeesTheMostThatWasHeldAtOnce) {
  const at::Tensor before = at::ones({1000}, at::kFloat);
  const MemoryMeter meter;
  { const at::Tensor a = at::ones({1000}, at::kFloat); }
  const at::Tensor b = at::ones({500}, at::kFloat), c = at::ones({250}, at::kFloat);
  EXPECT_GE(meter.peak(), 4000);
  EXPECT_LT(meter.peak(), 6000);
}

TEST(Bench, ComparesModelsWithTheFirst) {
  const test::ScopedFolder folder;
  ASSERT_EQ(run_cli({"prune", case_path("transenc"), folder / "small.pt2", "--ratio", "0.5"}).exit, 0);
  const json report =
      run_json({"bench", case_path("transenc"), folder / "small.pt2", "--repeat", "5", "--warmup", "1"});
  ASSERT_EQ(report["results"].size(), 2U);
  const json &first = report["results"][0], &second = report["results"][1];
  EXPECT_EQ(first["speedup"], 1.0);
  EXPECT_TRUE(first["realised"].is_null());
  EXPECT_GT(second["theoretical_speedup"], 1.0);
  EXPECT_GT(second["realised"], 0.0);
  EXPECT_LT(second["peak_bytes"], first["peak_bytes"]);
  EXPECT_EQ(first["runs"], 5);
  EXPECT_GT(first["rows_per_s"], 0.0);
}

TEST(Bench, EveryFormatHoldsTheSameRows) {
  const std::vector<std::string> line{"bench", case_path("syn_gn"), "--repeat", "2", "--warmup", "0", "-o"};
  const auto run = [&](const std::string& format) {
    auto arguments = line;
    arguments.push_back(format);
    return run_cli(arguments, 200).out;
  };
  EXPECT_EQ(json::parse(run("json"))["schema"], "pollard.bench/1");
  EXPECT_TRUE(json::parse(run("jsonl")).contains("median_s"));
  EXPECT_TRUE(run("md").starts_with("| model | dtype | batch |"));
  EXPECT_TRUE(
      run("csv").starts_with("model,dtype,batch,median,p99,rows/s,memory,vs first,in theory,realised\n"));
  EXPECT_TRUE(run("text").starts_with("model"));
}

TEST(Bench, BatchSizesMakeOneRowEach) {
  const json report =
      run_json({"bench", case_path("hf_bert"), "--batch", "1,4", "--repeat", "2", "--warmup", "0"});
  ASSERT_EQ(report["results"].size(), 2U);
  EXPECT_EQ(report["results"][0]["batch"], 1);
  EXPECT_EQ(report["results"][1]["batch"], 4);
}

TEST(Bench, RunsInOtherTypes) {
  const json report =
      run_json({"bench", case_path("syn_gn"), "--dtype", "f32,f64", "--repeat", "2", "--warmup", "0"});
  ASSERT_EQ(report["results"].size(), 2U);
  EXPECT_LT(report["results"][0]["peak_bytes"], report["results"][1]["peak_bytes"]);
  EXPECT_EQ(run_cli({"bench", case_path("syn_gn"), "--dtype", "int4"}).exit, 2);
}

TEST(Bench, KernelsAreComparedSideBySide) {
  const json report = run_json(
      {"bench", case_path("hf_bert"), "--kernels", "torch,pollard", "--repeat", "2", "--warmup", "0"});
  ASSERT_EQ(report["results"].size(), 2U);
  EXPECT_EQ(report["results"][0]["kernels"], "torch");
  EXPECT_EQ(report["results"][1]["kernels"], "pollard");
  const std::vector<std::string> line{"bench", case_path("syn_gn"), "--kernels", "pollard", "--repeat", "2"};
  EXPECT_NE(run_cli(line).out.find("pollard"), std::string::npos);
  EXPECT_EQ(run_cli({"bench", case_path("syn_gn"), "--kernels", "fast"}).exit, 2);
  EXPECT_EQ(run_cli({"bench", case_path("syn_gn"), "--kernels", "pollard", "--dtype", "f64"}).exit, 2);
}

TEST(Bench, AShapeThatDoesNotFitIsRefused) {
  EXPECT_EQ(run_cli({"bench", case_path("syn_gn"), "--input", "1x2"}).exit, 2);
  EXPECT_EQ(run_cli({"bench", case_path("syn_gn"), "--input", "1xN"}).exit, 2);
}

TEST(Bench, NotesSayWhenTheClockDisagreesWithTheory) {
  const std::vector<double> steady(100, 1.0);
  BenchRow row{.model = "m", .batch = "1", .timing = {.seconds = steady}, .speedup = 1.4, .macs_ratio = 2.0};
  ASSERT_EQ(bench_notes({row}).size(), 1U);
  EXPECT_NE(bench_notes({row})[0].find("MACs fell 2.00x but time 1.40x"), std::string::npos);
  row.speedup = 1.9;
  EXPECT_TRUE(bench_notes({row}).empty());
  EXPECT_DOUBLE_EQ(*row.realised(), 0.95);
}

}  // namespace
}  // namespace pollard::cli
