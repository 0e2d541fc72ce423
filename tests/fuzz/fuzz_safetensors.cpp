// SPDX-License-Identifier: Apache-2.0
// Any bytes as a safetensors file, strict and lenient: refused, or read with no more bytes than there are.
#include "models/io/safetensors.h"
#include "tests/fuzz/target.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  for (const bool lenient : {false, true})
    pollard::fuzz::read_or_refuse([&] {
      const pollard::models::io::SafetensorsReader reader(pollard::fuzz::source(data, size), lenient);
      std::size_t total = 0;
      for (const auto& [name, tensor] : reader.read_all()) total += tensor.nbytes();
      POLLARD_CHECK(total <= size, "more bytes were read than there are");
    });
  return 0;
}
