// SPDX-License-Identifier: Apache-2.0
// What rules do with operands that no sound file gives them: refuse them, or understand them, and nothing else.
#include <gtest/gtest.h>

#include <array>
#include <random>

#include "graph/error.h"
#include "graph/op_rules.h"
#include "tests/graph/program_builder.h"

namespace pollard::graph {
namespace {

using testing::ProgramBuilder;

/// "" when the analysis went through.
std::string refused_with(const Program& program) {
  try {
    analyse(program);
  } catch (const UserError& error) {
    return error.parts().code;
  }
  return "";
}

/// Calls of one op with some of the arguments that the ops of the table have, of any shape.
class RandomCalls {
 public:
  explicit RandomCalls(std::uint32_t seed) : random_(seed) {}

  Program of(std::string_view rule) {
    ProgramBuilder b;
    std::vector<NamedArg> args;
    for (const char* name : kTensors)
      if (below(3) > 0) args.push_back({name, tensor(b)});
    for (const char* name : kLists)
      if (below(3) > 0) args.push_back({name, list(b)});
    for (const char* name : kNumbers)
      if (below(3) == 0) args.push_back({name, kValues[below(kValues.size())]});
    for (const char* name : kSizes)
      if (below(3) == 0) args.push_back({name, numbers()});
    for (const char* name : kFlags)
      if (below(3) == 0) args.push_back({name, below(2) == 0});
    std::vector<std::vector<std::int64_t>> results(below(4));
    for (auto& result : results) result = shape();
    b.call("aten." + std::string(rule) + ".input", std::move(args), std::move(results));
    return b.finish(tensor(b));
  }

 private:
  static constexpr std::array kTensors{"self", "input",  "weight", "bias",  "other", "mat1",
                                       "mat2", "batch1", "batch2", "query", "key",   "value",
                                       "src",  "index",  "source", "w_ih",  "w_hh",  "values"};
  static constexpr std::array kLists{"tensors", "indices", "hx", "params"};
  static constexpr std::array kNumbers{
      "dim",  "groups", "num_groups",     "num_layers", "start",           "end", "step", "dim0",
      "dim1", "index",  "upscale_factor", "repeats",    "downscale_factor"};
  static constexpr std::array kSizes{"dims",   "dim",        "size", "shape", "pad", "normalized_shape",
                                     "source", "destination"};
  static constexpr std::array kFlags{"bidirectional", "has_biases", "batch_first", "transposed"};
  static constexpr std::array<std::int64_t, 8> kValues{0, 1, 2, -1, -2, 3, INT64_MAX, INT64_MIN};

  std::size_t below(std::size_t count) { return random_() % count; }
  std::vector<std::int64_t> shape() {
    std::vector<std::int64_t> out(below(5));
    for (std::int64_t& size : out) size = static_cast<std::int64_t>(below(5));
    return out;
  }
  ValueId tensor(ProgramBuilder& b) {
    const std::string name = "v" + std::to_string(next_++);
    return below(2) == 0 ? b.input(name, shape()) : b.parameter(name, shape());
  }
  Arg::List list(ProgramBuilder& b) {
    Arg::List out;
    for (std::size_t count = below(5); count > 0; --count) out.emplace_back(tensor(b));
    return out;
  }
  Arg::List numbers() {
    Arg::List out;
    for (std::size_t count = below(5); count > 0; --count) out.emplace_back(kValues[below(kValues.size())]);
    return out;
  }

  std::mt19937 random_;
  std::size_t next_ = 0;
};

TEST(DamagedOps, EveryRuleRefusesOrUnderstandsWhateverItIsGiven) {
  constexpr int kCalls = 200;
  RandomCalls calls(1);
  int understood = 0, refused = 0;
  for (const OpRule* rule : all_rules())
    for (int call = 0; call < kCalls; ++call) {
      const std::string code = refused_with(calls.of(rule->name));
      EXPECT_TRUE(code.empty() || code == "E0312") << rule->name << " " << code;
      ++(code.empty() ? understood : refused);
    }
  EXPECT_GT(understood, 1000);
  EXPECT_GT(refused, 1000);
}

TEST(DamagedOps, WhatStandsWithoutDimensionsHasNoStepsOrChannels) {
  ProgramBuilder b;
  const ValueId x = b.input("x", {});
  const ValueId w = b.parameter("w", {8, 2});
  b.call("aten.gru.input",
         {{"input", x}, {"hx", b.input("h", {1, 2, 2})}, {"params", Arg::List{w, w}}, {"has_biases", false}},
         {{1, 2, 2}, {1, 2, 2}});
  EXPECT_EQ(refused_with(b.finish(x)), "E0312");
}

TEST(DamagedOps, AResultOfAnotherRankIsRefused) {
  ProgramBuilder b;
  const ValueId x = b.input("x", {1, 8, 2, 2});
  const ValueId y = b.call("aten.pixel_shuffle.default", {{"self", x}, {"upscale_factor", 2L}}, {{1, 2}})[0];
  EXPECT_EQ(refused_with(b.finish(y)), "E0312");
}

TEST(DamagedOps, SlicesOfOneStackHaveOneRank) {
  ProgramBuilder b;
  const ValueId x = b.input("x", {4, 2}), y = b.input("y", {4});
  const ValueId s = b.call("aten.stack.default", {{"tensors", Arg::List{y, x}}}, {{2, 4}})[0];
  EXPECT_EQ(refused_with(b.finish(s)), "E0312");
}

}  // namespace
}  // namespace pollard::graph
