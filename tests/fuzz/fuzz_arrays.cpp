// SPDX-License-Identifier: Apache-2.0
// Any bytes as a .npy array, an .npz archive and an IDX file: refused, or numbers that fit into what was unpacked.
#include <ATen/core/Tensor.h>

#include "models/io/npy.h"
#include "tests/fuzz/target.h"

namespace io = pollard::models::io;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::vector<std::byte> bytes = pollard::fuzz::bytes(data, size);
  pollard::fuzz::read_or_refuse([&] { io::read_npy(bytes, "fuzz"); });
  pollard::fuzz::read_or_refuse([&] { io::read_npz(*pollard::fuzz::source(data, size)); });
  return pollard::fuzz::read_or_refuse([&] { io::read_idx(*pollard::fuzz::source(data, size)); });
}
