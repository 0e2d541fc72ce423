// SPDX-License-Identifier: Apache-2.0
// The JSON graph of a torch.export archive.
#include "models/io/pt2_graph_reader.h"
#include "tests/fuzz/target.h"

using namespace pollard::models::io;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return pollard::fuzz::read_or_refuse([&] {
    const Json json = parse_entry(pollard::fuzz::text(data, size), "fuzz", "models/model.json");
    JsonReader reader("fuzz", "models/model.json");
    pollard::graph::check(pt2::GraphReader(reader, json).read());
  });
}
