// SPDX-License-Identifier: Apache-2.0
// Any bytes as one of the smaller files of pruning/, the first byte says which: prompts, scores of heads, the journal of
// a streamed run, a table of op times.
#include "graph/dependencies.h"
#include "models/model.h"
#include "pruning/fairness/prompts.h"
#include "pruning/fairness/scoreboard.h"
#include "pruning/latency_table.h"
#include "pruning/stream/journal.h"
#include "tests/fuzz/target.h"
#include "tests/paths.h"

namespace {

namespace pruning = pollard::pruning;

void read_scores(std::string_view text) {
  static const pollard::models::Model model =
      pollard::models::load(pollard::test::data_folder() + "/cases/syn_flatten_bn_fc.pt2");
  static const auto dependencies = pollard::graph::analyse(model.program);
  pruning::fairness::to_json(pruning::fairness::scoreboard_from_json(text, model, dependencies, "fuzz"));
}

void read_journal(std::string_view text) {
  static const pollard::fuzz::Folder folder;
  folder.write(".pollard-stream.0.json", text);
  folder.write("w.safetensors", "data");
  const pruning::Journal journal(folder.path(), true, 0, "plan");
  journal.whole("w.safetensors", folder.path() / "w.safetensors");
}

void read_times(std::string_view text) {
  static const pollard::fuzz::Folder folder;
  pruning::LatencyTable(folder.write("latency.json", text)).find("op");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text = pollard::fuzz::text(data + 1, size - 1);
  return pollard::fuzz::read_or_refuse([&] {
    switch (data[0] % 4) {
      case 0: pruning::fairness::parse_prompts(text, "fuzz"); break;
      case 1: read_scores(text); break;
      case 2: read_journal(text); break;
      default: read_times(text); break;
    }
  });
}
