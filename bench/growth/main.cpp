// SPDX-License-Identifier: Apache-2.0
// How the cost of the analysis grows with a program.   growth KIND LAYERS   one JSON line
//   transformer   Llama's blocks, captured without weights (36 ops a layer)
//   dense         blocks of 16 convolutions, each of which reads the concatenation of all before it
//   shared        one linear layer applied LAYERS times, with what is between
//   nested        LAYERS concatenations of a flattened concatenation: terms as deep as the program is long
// CPU seconds of each step and the process's peak memory. bench/growth.py draws the curves.
#include <sys/resource.h>
#include <time.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <string>
#include <utility>

#include "graph/cost.h"
#include "graph/error.h"
#include "models/built_in.h"
#include "tests/graph/program_builder.h"

namespace {

using namespace pollard;
using graph::Arg;
using graph::Program;
using graph::ValueId;
using graph::testing::ProgramBuilder;

double now() {
  timespec t{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

Program transformer(int layers) {
  const auto llama = models::find_built_in("Llama-2-7B");
  return models::weightless_model(
             *llama->family,
             R"({"hidden_size":64,"intermediate_size":128,"num_attention_heads":4,"vocab_size":256,
                               "max_position_embeddings":64,"num_hidden_layers":)" +
                 std::to_string(layers) + "}")
      .program;
}

Program dense(int layers) {
  constexpr std::int64_t kGrowth = 8, kFirst = 16, kBlock = 16;
  ProgramBuilder b;
  ValueId x = b.input("x", {1, kFirst, 8, 8});
  std::int64_t width = kFirst;
  const auto conv = [&](ValueId from, std::int64_t in, std::int64_t out, const std::string& name) {
    const ValueId weight = b.parameter(name, {out, in, 1, 1});
    return b.call("aten.conv2d.default", {{"input", from}, {"weight", weight}}, {{1, out, 8, 8}})[0];
  };
  for (int layer = 0; layer < layers; ++layer) {
    const std::string name = "layer" + std::to_string(layer);
    const ValueId y = b.call("aten.relu.default", {{"self", conv(x, width, kGrowth, name + ".weight")}},
                             {{1, kGrowth, 8, 8}})[0];
    width += kGrowth;
    x = b.call("aten.cat.default", {{"tensors", Arg::List{x, y}}, {"dim", std::int64_t{1}}},
               {{1, width, 8, 8}})[0];
    if (layer % kBlock == kBlock - 1) {
      x = conv(x, width, kFirst, name + ".transition");
      width = kFirst;
    }
  }
  return b.finish(conv(x, width, 4, "head"));
}

Program shared(int layers) {
  ProgramBuilder b;
  ValueId x = b.input("x", {2, 32});
  const ValueId first = b.parameter("first", {16, 32}), weight = b.parameter("weight", {16, 16}),
                last = b.parameter("last", {4, 16});
  x = b.linear(x, first, {2, 16});
  for (int layer = 0; layer < layers; ++layer)
    x = b.call("aten.relu.default", {{"self", b.linear(x, weight, {2, 16})}}, {{2, 16}})[0];
  return b.finish(b.linear(x, last, {2, 4}));
}

Program nested(int layers) {
  ProgramBuilder b;
  ValueId x = b.input("x", {2, 4});
  std::int64_t width = 4;
  for (int layer = 0; layer < layers; ++layer) {
    const std::int64_t out = layer % 64 == 63 ? 4 : width + 4;
    const std::string name = "layer" + std::to_string(layer);
    const ValueId y = b.linear(x, b.parameter(name, {4, width}), {2, 4});
    x = out == 4 ? y
                 : b.call("aten.cat.default", {{"tensors", Arg::List{x, y}}, {"dim", std::int64_t{1}}},
                          {{2, out}})[0];
    width = out;
  }
  return b.finish(b.linear(x, b.parameter("last", {4, width}), {2, 4}));
}

void measure(const std::string& kind, const std::function<Program(int)>& make, int layers) {
  const double t0 = now();
  const Program program = make(layers);
  const double t1 = now();
  const graph::Dependencies d = graph::analyse(program);
  const double t2 = now();
  const graph::CostModel cost(program, d);
  const auto shares = cost.shares();
  const double t3 = now();
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  std::printf(
      R"({"kind":"%s","layers":%d,"ops":%zu,"groups":%zu,"build_s":%.4f,"analyse_s":%.4f,"cost_s":%.4f,"peak_mib":%ld})"
      "\n",
      kind.c_str(), layers, program.ops.size(), d.groups.size(), t1 - t0, t2 - t1, t3 - t2,
      usage.ru_maxrss / 1024);
}

}  // namespace

int main(int argc, char** argv) {
  const std::map<std::string, std::function<Program(int)>> kinds{
      {"transformer", transformer}, {"dense", dense}, {"shared", shared}, {"nested", nested}};
  const auto kind = argc == 3 ? kinds.find(argv[1]) : kinds.end();
  if (kind == kinds.end()) {
    std::fprintf(stderr, "usage: growth transformer|dense|shared|nested LAYERS\n");
    return 2;
  }
  try {
    measure(kind->first, kind->second, std::atoi(argv[2]));
  } catch (const UserError& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
