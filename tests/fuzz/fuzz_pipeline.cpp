// SPDX-License-Identifier: Apache-2.0
// A small exported network whose graph was changed, through the whole program: read, analysed, planned, pruned, proved,
// written, read again. It may be refused on the way; what comes out must compute what the masked network computes.
// The bytes say which network and which changes (tests/fuzz/mutate_graph.h), so that any bytes are some network.
#include "graph/cost.h"
#include "models/io/bytes.h"
#include "models/io/pt2_reader.h"
#include "models/io/pt2_writer.h"
#include "pruning/plan.h"
#include "pruning/rewrite.h"
#include "pruning/verify.h"
#include "tests/fuzz/mutate_graph.h"
#include "tests/fuzz/target.h"

namespace {

namespace io = pollard::models::io;
namespace pruning = pollard::pruning;
using pollard::models::Model;

Model read(const std::string& archive) {
  const auto bytes = io::as_bytes(archive);
  return io::read_pt2(
      io::ZipReader(io::memory_source({bytes.begin(), bytes.end()}, "fuzz"), {.check_crc = false}));
}

/// Sizes may be anything; what would compute for long, or not fit into memory, is no parser's test.
bool is_small(const pollard::graph::Cost& cost, const pollard::graph::Program& program) {
  constexpr std::int64_t kMostElements = 4 << 20;
  for (const pollard::graph::Value& value : program.values) {
    std::int64_t elements = 1;
    for (const auto& size : value.shape)
      if (__builtin_mul_overflow(elements, size.hint, &elements) || elements > kMostElements) return false;
  }
  return cost.macs < 20'000'000;
}

void run(const std::string& archive) {
  const Model model = read(archive);
  const auto dependencies = pollard::graph::analyse(model.program);
  const pollard::graph::CostModel costs(model.program, dependencies);
  if (!is_small(costs.evaluate(pollard::graph::full_widths(dependencies)), model.program)) return;
  pruning::PlanOptions options;
  options.ratio = 0.5;
  options.criterion = "random";
  options.allow_nonfinite = true;
  const pruning::Plan plan = pruning::make_plan(model, dependencies, options);
  const Model pruned = pruning::prune(model, dependencies, plan.removal);
  const pruning::VerifyOptions how{.inputs = 2};
  const auto proof = pruning::verify(model, pruned, dependencies, plan.removal, how);
  POLLARD_CHECK(proof.ok, "differs from its masked original by " + std::to_string(proof.max_relative));
  pollard::fuzz::TextWriter written;
  io::write_pt2(written, pruned);
  const Model again = read(written.text);
  POLLARD_CHECK(pruning::verify(model, again, dependencies, plan.removal, how).ok,
                "written as something else");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return pollard::fuzz::read_or_refuse([&] { run(pollard::fuzz::mutated_archive({data, size})); });
}
