// SPDX-License-Identifier: Apache-2.0
// What must hold for every network there could be, tried on random ones, each of which is made once and tried for all:
//
//   POLLARD_PROGRAMS=100000 POLLARD_SEED=1 build/cpu/tests/test_properties
//
// tries so many (2,000 unless told) from that seed on. A failure names the seed of the network and prints it.
#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <numeric>
#include <set>

#include "pruning/plan.h"
#include "pruning/rewrite.h"
#include "pruning/verify.h"
#include "tests/graph/components.h"
#include "tests/properties/random_network.h"

namespace pollard::properties {
namespace {

using graph::Dependencies;
using models::Model;

std::uint64_t setting(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text ? std::strtoull(text, nullptr, 10) : otherwise;
}

pruning::PlanOptions random_half(std::uint64_t seed, double ratio = 0.5) {
  pruning::PlanOptions options;
  options.ratio = ratio;
  options.criterion = "random";
  options.seed = seed;
  options.min_width = 2;
  return options;
}

void what_is_pruned_equals_what_is_masked(const Model& model, const Dependencies& d, std::uint64_t seed) {
  const pruning::Plan plan = pruning::make_plan(model, d, random_half(seed));
  const Model pruned = pruning::prune(model, d, plan.removal);
  const auto v = pruning::verify(model, pruned, d, plan.removal, {.inputs = 2, .seed = seed});
  EXPECT_TRUE(v.ok) << "differs by " << v.max_relative;
}

void groups_are_the_connected_components(const Model& model, const Dependencies& d, std::uint64_t) {
  graph::testing::expect_groups_are_components(model.program, d);
}

/// What couples, free of numbering: for every group the names and dimensions of its members.
std::set<std::set<std::string>> members(const graph::Program& program, const Dependencies& d) {
  std::set<std::set<std::string>> out;
  for (const graph::Group& group : d.groups) {
    std::set<std::string> names;
    for (const graph::Member& m : d.axes[static_cast<std::size_t>(group.axis)].members)
      names.insert(program.inputs[static_cast<std::size_t>(m.input)].source + ":" + std::to_string(m.dim));
    out.insert(std::move(names));
  }
  return out;
}

/// The same program with its ops in another order that respects their uses, and other names for values and ops.
graph::Program shuffled(const graph::Program& program, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  graph::Program out = program;
  out.ops.clear();
  std::set<std::int32_t> ready;
  for (const graph::Input& input : program.inputs) ready.insert(input.value.index);
  std::vector<bool> done(program.ops.size());
  while (out.ops.size() < program.ops.size()) {
    std::vector<std::size_t> next;
    for (std::size_t o = 0; o < program.ops.size(); ++o) {
      bool fits = !done[o];
      for (const graph::NamedArg& named : program.ops[o].args)
        for (const graph::ValueId id : graph::values_in(named.arg)) fits = fits && ready.contains(id.index);
      if (fits) next.push_back(o);
    }
    const std::size_t chosen = next[random() % next.size()];
    done[chosen] = true;
    for (const graph::ValueId id : program.ops[chosen].outputs) ready.insert(id.index);
    out.ops.push_back(program.ops[chosen]);
    out.ops.back().name = "renamed" + std::to_string(out.ops.size());
  }
  for (graph::Value& value : out.values) value.name = "v" + std::to_string(random());
  return out;
}

void order_and_names_of_ops_change_nothing(const Model& model, const Dependencies& d, std::uint64_t seed) {
  const graph::Program other = shuffled(model.program, seed);
  graph::check(other);
  EXPECT_EQ(members(model.program, d), members(other, graph::analyse(other)));
}

void removing_nothing_is_the_identity(const Model& model, const Dependencies& d, std::uint64_t) {
  const Model same = pruning::prune(model, d, graph::Removal(d));
  EXPECT_EQ(graph::to_string(same.program), graph::to_string(model.program));
  for (const auto& [name, tensor] : model.weights) EXPECT_TRUE(tensor.is_same(same.weights.at(name))) << name;
}

/// `second`, which names units of a network without those of `first`, in the numbering of the whole one; with `first`.
std::vector<std::int64_t> joined(std::int64_t size, const std::vector<std::int64_t>& first,
                                 const std::vector<std::int64_t>& second) {
  std::vector<std::int64_t> kept, out = first;
  for (std::int64_t i = 0; i < size; ++i)
    if (!std::ranges::binary_search(first, i)) kept.push_back(i);
  for (const std::int64_t i : second) out.push_back(kept[static_cast<std::size_t>(i)]);
  std::ranges::sort(out);
  return out;
}

void pruning_twice_is_pruning_the_union(const Model& model, const Dependencies& d, std::uint64_t seed) {
  const auto first = pruning::make_plan(model, d, random_half(seed, 0.3)).removal;
  const Model once = pruning::prune(model, d, first);
  const Dependencies d1 = graph::analyse(once.program);
  ASSERT_EQ(d1.axes.size(), d.axes.size());
  const auto second = pruning::make_plan(once, d1, random_half(seed + 1, 0.3)).removal;
  const Model twice = pruning::prune(once, d1, second);
  graph::Removal both(d);
  for (std::size_t a = 0; a < d.axes.size(); ++a)
    both.removed[a] = joined(d.axes[a].size, first.removed[a], second.removed[a]);
  const Model at_once = pruning::prune(model, d, both);
  EXPECT_EQ(graph::to_string(twice.program), graph::to_string(at_once.program));
  for (const auto& [name, tensor] : at_once.weights)
    EXPECT_TRUE(at::equal(tensor, twice.weights.at(name))) << name;
}

struct Property {
  const char* name;
  void (*check)(const Model&, const Dependencies&, std::uint64_t seed);
};

constexpr Property kProperties[] = {
    {"what is pruned equals what is masked", what_is_pruned_equals_what_is_masked},
    {"groups are the connected components of the couplings", groups_are_the_connected_components},
    {"order and names of ops change nothing", order_and_names_of_ops_change_nothing},
    {"removing nothing is the identity", removing_nothing_is_the_identity},
    {"pruning twice is pruning the union", pruning_twice_is_pruning_the_union},
};

/// Seeds [first, last) of one test.
struct Block {
  std::uint64_t first, last;
};

void PrintTo(const Block& block, std::ostream* out) { *out << block.first << " to " << block.last - 1; }

std::vector<Block> blocks() {
  constexpr std::uint64_t kSize = 500;
  const std::uint64_t first = setting("POLLARD_SEED", 1), end = first + setting("POLLARD_PROGRAMS", 2000);
  std::vector<Block> out;
  for (std::uint64_t at = first; at < end; at += kSize) out.push_back({at, std::min(end, at + kSize)});
  return out;
}

class RandomPrograms : public testing::TestWithParam<Block> {};

TEST_P(RandomPrograms, KeepEveryProperty) {
  const auto [first, last] = GetParam();
  std::uint64_t prunable = 0;
  for (std::uint64_t seed = first; seed < last; ++seed) {
    const Model model = random_model(seed);
    const Dependencies d = graph::analyse(model.program);
    prunable += d.groups.empty() ? 0 : 1;
    for (const Property& property : kProperties) {
      property.check(model, d, seed);
      if (!HasFailure()) continue;
      ADD_FAILURE() << "not so: " << property.name << ", in the network of seed " << seed << ":\n"
                    << RandomNetwork(seed).text() << graph::to_string(d, model.program)
                    << graph::to_string(model.program);
      return;
    }
  }
  // A generator that made nothing prunable would prove nothing.
  EXPECT_GE(prunable * 10, (last - first) * 8);
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomPrograms, testing::ValuesIn(blocks()),
                         [](const auto& block) { return "from" + std::to_string(block.param.first); });

}  // namespace
}  // namespace pollard::properties
