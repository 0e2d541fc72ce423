// SPDX-License-Identifier: Apache-2.0
// A torch.export archive; checksums are off, so that changes reach the graph and the weights.
#include "models/io/pt2_reader.h"
#include "tests/fuzz/target.h"

using pollard::models::io::ZipReader;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return pollard::fuzz::read_or_refuse([&] {
    const ZipReader archive(pollard::fuzz::source(data, size), {.check_crc = false});
    pollard::models::io::read_pt2(archive);
  });
}
