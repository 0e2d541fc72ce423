// SPDX-License-Identifier: Apache-2.0
#include "pruning/op_times.h"

#include <time.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <map>
#include <numeric>
#include <set>

#include "graph/cost.h"
#include "models/io/cancel.h"
#include "pruning/rewrite.h"
#include "pruning/verify.h"

namespace pollard::pruning {
namespace {

constexpr int kRepeats = 9;

/// A point in time on two clocks: the wall's and the process's own. Of one thread's work the second leaves out the time
/// that other processes had; several threads add up on it, and the wall's is shorter. The shorter counts.
struct Moment {
  double wall, own;
  static Moment now() {
    timespec own{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &own);
    const auto wall = std::chrono::steady_clock::now().time_since_epoch();
    return {std::chrono::duration<double>(wall).count(),
            static_cast<double>(own.tv_sec) + 1e-9 * static_cast<double>(own.tv_nsec)};
  }
  double operator-(const Moment& start) const { return std::min(wall - start.wall, own - start.own); }
};

/// The op as the table names it: its target, and shapes in place of values.
std::string key_of(const graph::Op& op, const graph::Program& program) {
  std::string out = op.target + "(";
  for (const graph::NamedArg& named : op.args) {
    out += named.name + "=";
    const auto values = graph::values_in(named.arg);
    if (values.empty()) out += graph::to_string(named.arg, program);
    for (const graph::ValueId id : values) {
      const graph::Value& value = program[id];
      out += std::string(graph::to_string(value.dtype)) + "[";
      for (const std::int64_t size : value.sizes()) out += std::to_string(size) + ",";
      out += "]";
    }
    out += " ";
  }
  return out + ")";
}

std::vector<std::string> keys_of(const graph::Program& program) {
  std::vector<std::string> out;
  for (const graph::Op& op : program.ops) out.push_back(key_of(op, program));
  return out;
}

}  // namespace

OpTimer::OpTimer(const models::Model& model, const graph::Dependencies& d, LatencyTable& table)
    : model_(model), d_(d), table_(table), inputs_(example_inputs(model, 1, 0).at(0)) {}

graph::Removal OpTimer::removal(const std::vector<Class>& classes,
                                const std::vector<std::int64_t>& widths) const {
  graph::Removal out(d_);
  const auto shorten = [&](graph::AxisIndex axis, std::int64_t units) {
    auto& removed = out.removed[static_cast<std::size_t>(axis)];
    removed.resize(static_cast<std::size_t>(units));
    std::iota(removed.begin(), removed.end(), 0);
  };
  for (std::size_t c = 0; c < classes.size(); ++c) {
    const std::int64_t units = classes[c].size - widths[c];
    for (std::int32_t g : classes[c].groups) shorten(d_.groups[static_cast<std::size_t>(g)].axis, units);
    for (graph::AxisIndex a : classes[c].followers) shorten(a, units);
  }
  return out;
}

void OpTimer::measure(const models::Model& pruned, const std::vector<std::string>& keys) {
  models::io::throw_if_cancelled();
  const kernels::Executor executor(pruned.program);
  std::vector<Moment> starts;
  kernels::RunOptions options;
  options.before_op = [&](const graph::Op&, std::size_t, std::vector<c10::IValue>&) {
    starts.push_back(Moment::now());
    return false;
  };
  std::vector<double> least(keys.size(), std::numeric_limits<double>::infinity());
  for (int repeat = -1; repeat < kRepeats; ++repeat) {
    starts.clear();
    executor.run(pruned.weights, inputs_, options);
    starts.push_back(Moment::now());
    for (std::size_t op = 0; repeat >= 0 && op < least.size(); ++op)
      least[op] = std::min(least[op], starts[op + 1] - starts[op]);
  }
  std::map<std::string, std::pair<double, int>> by_key;  // equal ops at several places: their mean
  for (std::size_t i = 0; i < keys.size(); ++i) {
    by_key[keys[i]].first += least[i];
    ++by_key[keys[i]].second;
  }
  for (const auto& [key, sum] : by_key)
    if (!table_.find(key)) table_.put(key, sum.first / sum.second);
  ++measured_;
}

std::vector<double> OpTimer::times(const std::vector<Class>& classes,
                                   const std::vector<std::int64_t>& widths) {
  const models::Model pruned = prune(model_, d_, removal(classes, widths));
  const std::vector<std::string> keys = keys_of(pruned.program);
  if (!std::ranges::all_of(keys, [&](const std::string& key) { return table_.find(key).has_value(); }))
    measure(pruned, keys);
  std::vector<double> out(model_.program.ops.size(), 0);
  std::size_t dense = 0;
  double inserted = 0;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    inserted += *table_.find(keys[i]);
    if (dense == out.size() || pruned.program.ops[i].name != model_.program.ops[dense].name) continue;
    out[dense++] = inserted;
    inserted = 0;
  }
  return out;
}

std::vector<double> race_models(const std::vector<const models::Model*>& models, int rounds) {
  const auto inputs = example_inputs(*models.front(), 1, 0).at(0);
  std::vector<kernels::Executor> executors;
  for (const models::Model* model : models) executors.emplace_back(model->program);
  std::vector<double> shortest(models.size(), std::numeric_limits<double>::infinity());
  for (int round = -1; round < rounds; ++round)
    for (std::size_t m = 0; m < models.size(); ++m) {
      models::io::throw_if_cancelled();
      const Moment start = Moment::now();
      executors[m].run(models[m]->weights, inputs);
      const double seconds = Moment::now() - start;
      if (round >= 0) shortest[m] = std::min(shortest[m], seconds);
    }
  return shortest;
}

graph::Widths axis_widths(const graph::Dependencies& d, const std::vector<Class>& classes,
                          const std::vector<std::int64_t>& widths) {
  graph::Widths out = graph::full_widths(d);
  for (std::size_t c = 0; c < classes.size(); ++c) {
    for (std::int32_t g : classes[c].groups)
      out[static_cast<std::size_t>(d.groups[static_cast<std::size_t>(g)].axis)] = widths[c];
    for (graph::AxisIndex a : classes[c].followers) out[static_cast<std::size_t>(a)] = widths[c];
  }
  return out;
}

std::vector<std::vector<std::size_t>> classes_by_op(const graph::Program& program,
                                                    const graph::Dependencies& d,
                                                    const std::vector<Class>& classes) {
  std::vector<std::set<std::size_t>> of_value(program.values.size());
  for (std::size_t c = 0; c < classes.size(); ++c) {
    if (!classes[c].takes_part()) continue;
    graph::Removal one(d);
    for (std::int32_t g : classes[c].groups)
      one.removed[static_cast<std::size_t>(d.groups[static_cast<std::size_t>(g)].axis)] = {0};
    for (graph::AxisIndex a : classes[c].followers) one.removed[static_cast<std::size_t>(a)] = {0};
    for (std::size_t v = 0; v < of_value.size(); ++v)
      if (std::ranges::any_of(d.values[v].dims, [&](auto term) { return graph::touched(d, term, one); }))
        of_value[v].insert(c);
  }
  std::vector<std::vector<std::size_t>> out;
  for (const graph::Op& op : program.ops) {
    std::set<std::size_t> all;
    const auto add = [&](graph::ValueId id) {
      const std::set<std::size_t>& more = of_value[static_cast<std::size_t>(id.index)];
      all.insert(more.begin(), more.end());
    };
    for (const graph::NamedArg& named : op.args) std::ranges::for_each(graph::values_in(named.arg), add);
    std::ranges::for_each(op.outputs, add);
    out.emplace_back(all.begin(), all.end());
  }
  return out;
}

namespace {

/// The width nearest to five eighths that is a multiple of `multiple` and of no larger power of two; 0 for none.
std::int64_t odd_multiple(std::int64_t size, std::int64_t multiple) {
  const std::int64_t step = 2 * multiple, want = size * 5 / 8;
  const std::int64_t width = (want - multiple + step / 2) / step * step + multiple;
  return width < size ? width : width - step;
}

/// Every class that can at the odd multiple, the others whole.
std::vector<std::int64_t> odd_multiples(const std::vector<Class>& classes, std::int64_t multiple) {
  std::vector<std::int64_t> out;
  for (const Class& c : classes) {
    const std::int64_t odd = c.takes_part() ? odd_multiple(c.size, multiple) : 0;
    out.push_back(odd > 0 && odd >= c.size - c.removable ? odd : c.size);
  }
  return out;
}

/// Seconds a multiply-accumulate of the ops that each class shapes; 0 where there are none, or the class is whole.
std::vector<double> rates(const models::Model& model, const graph::Dependencies& d,
                          const std::vector<Class>& classes, const std::vector<std::int64_t>& widths,
                          OpTimer& timer) {
  const auto shaped_by = classes_by_op(model.program, d, classes);
  const std::vector<double> seconds = timer.times(classes, widths);
  const std::vector<std::int64_t> macs =
      graph::CostModel(model.program, d).macs_by_op(axis_widths(d, classes, widths));
  std::vector<double> time(classes.size(), 0), work(classes.size(), 0);
  for (std::size_t op = 0; op < seconds.size(); ++op)
    for (const std::size_t c : shaped_by[op])
      if (macs[op] > 0 && widths[c] < classes[c].size) {
        time[c] += seconds[op];
        work[c] += static_cast<double>(macs[op]);
      }
  for (std::size_t c = 0; c < time.size(); ++c) time[c] = work[c] > 0 ? time[c] / work[c] : 0;
  return time;
}

}  // namespace

std::vector<std::int64_t> measured_multiples(const models::Model& model, const graph::Dependencies& d,
                                             const std::vector<Class>& classes, OpTimer& timer) {
  constexpr std::int64_t kLargest = 64;
  constexpr double kAsFast = 1.05;
  std::vector<std::map<std::int64_t, double>> rate(classes.size());  // by multiple
  for (std::int64_t multiple = 1; multiple <= kLargest; multiple *= 2) {
    const std::vector<double> now = rates(model, d, classes, odd_multiples(classes, multiple), timer);
    for (std::size_t c = 0; c < classes.size(); ++c)
      if (now[c] > 0) rate[c][multiple] = now[c];
  }
  std::vector<std::int64_t> out(classes.size(), 1);
  for (std::size_t c = 0; c < classes.size(); ++c) {
    double least = std::numeric_limits<double>::infinity();
    for (const auto& [_, seconds] : rate[c]) least = std::min(least, seconds);
    const auto fast =
        std::ranges::find_if(rate[c], [&](const auto& entry) { return entry.second <= kAsFast * least; });
    if (fast != rate[c].end()) out[c] = fast->first;
    const std::int64_t floor = std::max<std::int64_t>(1, classes[c].size - classes[c].removable);
    while (out[c] > 1 && (classes[c].size - 1) / out[c] * out[c] < floor) out[c] /= 2;
  }
  return out;
}

}  // namespace pollard::pruning
