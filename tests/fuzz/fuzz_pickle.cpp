// SPDX-License-Identifier: Apache-2.0
// Any bytes as the pickle of a PyTorch file with one storage of six numbers: refused, or read; nothing is
// called.
#include "models/io/bytes.h"
#include "models/io/checkpoint.h"
#include "tests/bad_files/builders.h"
#include "tests/fuzz/target.h"

using pollard::bad_files::floats;
using pollard::bad_files::torch_zip;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string pickle(pollard::fuzz::text(data, size));
  const auto zip = torch_zip(pickle, {{"0", floats(6)}}).bytes();
  const auto bytes = pollard::models::io::as_bytes(zip);
  return pollard::fuzz::read_or_refuse([&] {
    const auto source = pollard::models::io::memory_source({bytes.begin(), bytes.end()}, "fuzz");
    for (const auto& [name, tensor] : pollard::models::io::read_checkpoint(source, {.hash = false}).tensors)
      POLLARD_CHECK(tensor.numel() <= 6, "more elements than the storage has");
  });
}
