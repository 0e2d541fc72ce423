// SPDX-License-Identifier: Apache-2.0
// Any bytes as a zip archive: refused, or every entry readable and apart from all others.
#include "models/io/zip_reader.h"
#include "tests/fuzz/target.h"

using pollard::models::io::ZipEntry;
using pollard::models::io::ZipReader;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return pollard::fuzz::read_or_refuse([&] {
    const ZipReader reader(pollard::fuzz::source(data, size), {.check_crc = false});
    std::uint64_t end = 0;
    for (const ZipEntry& entry : reader.entries()) {
      POLLARD_CHECK(entry.offset >= end, "entries overlap");
      end = entry.offset + reader.read(entry).size();
    }
    POLLARD_CHECK(end <= size, "entries pass the end");
  });
}
