// SPDX-License-Identifier: Apache-2.0
// Times the road from a loaded program to a smaller one: analysis, scoring and selection, rewriting and slicing.
//   pollard_pipeline RATIO REPEAT THREADS FILE...     one JSON line a file: median seconds of REPEAT runs, peak memory
// With one thread CPU seconds, which other processes disturb least; with more, seconds by the clock.
// Memory is measured on the first run of the first file alone, which gives its weights away as it slices them; `base` is
// what the process (mostly LibTorch's code) takes before it reads anything.
#include <ATen/Parallel.h>
#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "graph/error.h"
#include "models/model.h"
#include "pruning/plan.h"
#include "pruning/rewrite.h"

namespace {

using namespace pollard;

double now() {
  timespec t{};
  clock_gettime(at::get_num_threads() == 1 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

double median(std::vector<double> values) {
  std::ranges::nth_element(values, values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2));
  return values[values.size() / 2];
}

long peak_kib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

void run_once(const std::string& path, double ratio) {
  models::Model model = models::load(path);
  const graph::Dependencies d = graph::analyse(model.program);
  pruning::PlanOptions options;
  options.ratio = ratio;
  const pruning::Plan chosen = pruning::make_plan(model, d, options);
  static_cast<void>(pruning::prune(std::move(model), d, chosen.removal));
}

void measure(const std::string& path, double ratio, int repeat) {
  const long base = peak_kib();
  run_once(path, ratio);
  const long peak = peak_kib();
  const models::Model model = models::load(path);
  std::vector<double> analyse, plan, rewrite;
  graph::Cost before, after;
  for (int i = 0; i < repeat + 1; ++i) {
    const double t0 = now();
    const graph::Dependencies d = graph::analyse(model.program);
    const double t1 = now();
    pruning::PlanOptions options;
    options.ratio = ratio;
    const pruning::Plan chosen = pruning::make_plan(model, d, options);
    const double t2 = now();
    const models::Model small = pruning::prune(model, d, chosen.removal);
    const double t3 = now();
    before = chosen.before;
    after = chosen.after;
    if (i == 0) continue;  // warm-up
    analyse.push_back(t1 - t0);
    plan.push_back(t2 - t1);
    rewrite.push_back(t3 - t2);
  }
  std::printf(
      "{\"file\": \"%s\", \"ops\": %zu, \"analyse\": %.6f, \"plan\": %.6f, \"rewrite\": %.6f, "
      "\"parameters\": [%lld, %lld], "
      "\"rss_base_kib\": %ld, \"rss_peak_kib\": %ld}\n",
      path.substr(path.rfind('/') + 1).c_str(), model.program.ops.size(), median(analyse), median(plan),
      median(rewrite), static_cast<long long>(before.parameters), static_cast<long long>(after.parameters),
      base, peak);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) {
    std::fputs("usage: pollard_pipeline RATIO REPEAT THREADS FILE...\n", stderr);
    return 2;
  }
  at::set_num_threads(std::atoi(argv[3]));
  try {
    for (int i = 4; i < argc; ++i) measure(argv[i], std::atof(argv[1]), std::atoi(argv[2]));
  } catch (const UserError& error) {
    std::fprintf(stderr, "error[%s] %s\n", error.parts().code.c_str(), error.what());
    return static_cast<int>(error.exit());
  }
  return 0;
}
