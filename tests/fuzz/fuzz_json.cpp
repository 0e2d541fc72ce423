// SPDX-License-Identifier: Apache-2.0
#include "models/io/json.h"
#include "tests/fuzz/target.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return pollard::fuzz::read_or_refuse(
      [&] { pollard::models::io::parse_json(pollard::fuzz::text(data, size), "fuzz"); });
}
