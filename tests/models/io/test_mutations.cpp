// SPDX-License-Identifier: Apache-2.0
#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include <functional>
#include <optional>

#include "models/io/bytes.h"
#include "models/io/checkpoint.h"
#include "models/io/file.h"
#include "models/io/safetensors.h"
#include "tests/bad_files/builders.h"
#include "tests/bad_files/expect_error.h"
#include "tests/bad_files/make_bad_files.h"

namespace pollard::bad_files {
namespace {

using models::io::Checkpoint;

/// The tensors, or nothing when the file is refused; any other end is a failure of the test.
std::optional<Checkpoint> try_read(std::string_view bytes) {
  const auto span = models::io::as_bytes(bytes);
  try {
    return models::io::read_checkpoint(models::io::memory_source({span.begin(), span.end()}, "m"),
                                       {.hash = false});
  } catch (const UserError& error) {
    EXPECT_FALSE(error.parts().code.empty());
    return std::nullopt;
  }
}

bool equal(const Checkpoint& a, const Checkpoint& b) {
  if (a.tensors.size() != b.tensors.size()) return false;
  for (const auto& [name, tensor] : a.tensors) {
    const auto other = b.tensors.find(name);
    if (other == b.tensors.end() || tensor.scalar_type() != other->second.scalar_type() ||
        !at::equal(tensor, other->second))
      return false;
  }
  return true;
}

TEST(CutFiles, AreRefusedWhereverTheyAreCut) {
  for (const GoodFile& good : good_files())
    for (std::size_t size = 0; size < good.bytes.size(); ++size)
      EXPECT_FALSE(try_read(std::string_view(good.bytes).substr(0, size))) << good.name << " cut to " << size;
}

TEST(ExtendedFiles, AreRefused) {
  for (const GoodFile& good : good_files())
    for (const char* tail : {"x", "PK\x05\x06", "\n"}) EXPECT_FALSE(try_read(good.bytes + tail)) << good.name;
}

/// Every byte of a zip is checked against another or does not matter (times, attributes).
TEST(FlippedBytes, OfATorchFileAreRefusedOrChangeNothing) {
  for (const GoodFile& good : good_files()) {
    if (!good.name.ends_with(".pt")) continue;
    const Checkpoint original = *try_read(good.bytes);
    for (std::size_t at = 0; at < good.bytes.size(); ++at)
      for (const int mask : {0x01, 0x20, 0x80, 0xFF}) {
        std::string bytes = good.bytes;
        bytes[at] = static_cast<char>(bytes[at] ^ mask);
        const auto read = try_read(bytes);
        EXPECT_TRUE(!read || equal(*read, original)) << good.name << " byte " << at << " mask " << mask;
      }
  }
}

/// A safetensors header has no checksum: another name is another file. Its sizes are still sound.
TEST(FlippedBytes, OfASafetensorsHeaderAreRefusedOrReadAsManyBytes) {
  for (const GoodFile& good : good_files()) {
    if (!good.name.ends_with(".safetensors")) continue;
    const Checkpoint original = *try_read(good.bytes);
    std::size_t total = 0;
    for (const auto& [name, tensor] : original.tensors) total += tensor.nbytes();
    for (std::size_t at = 0; at < good.bytes.size() - total; ++at)
      for (int mask = 1; mask < 256; ++mask) {
        std::string bytes = good.bytes;
        bytes[at] = static_cast<char>(bytes[at] ^ mask);
        const auto read = try_read(bytes);
        std::size_t read_total = 0;
        if (read)
          for (const auto& [name, tensor] : read->tensors) read_total += tensor.nbytes();
        EXPECT_TRUE(!read || read_total == total) << good.name << " byte " << at << " mask " << mask;
      }
  }
}

/// With a right CRC around it, so that the pickle reader itself is met.
TEST(FlippedBytes, OfAPickleNeverCrash) {
  const std::string pickle =
      state_dict({{}, {.name = "tied", .offset = 1, .shape = {2, 2}, .stride = {1, 2}}});
  std::size_t read = 0;
  for (std::size_t at = 0; at < pickle.size(); ++at)
    for (int value = 0; value < 256; ++value) {
      std::string bytes = pickle;
      bytes[at] = static_cast<char>(value);
      read += try_read(torch_zip(bytes, {{"0", floats(6)}}).bytes()) ? 1 : 0;
    }
  EXPECT_GE(read, pickle.size());  // each byte's own value is among the 256
}

TEST(CutPickles, AreRefusedWhereverTheyAreCut) {
  const std::string pickle = state_dict({{}});
  for (std::size_t size = 0; size < pickle.size(); ++size)
    EXPECT_FALSE(try_read(torch_zip(pickle.substr(0, size), {{"0", floats(6)}}).bytes())) << size;
}

/// Replaces spans of bytes by other spans of the same file: what a fuzzer finds first.
TEST(SplicedFiles, NeverCrash) {
  std::uint64_t state = 88172645463325252ULL;
  const auto random = [&](std::size_t below) {
    state ^= state << 13U;
    state ^= state >> 7U;
    state ^= state << 17U;
    return static_cast<std::size_t>(state % below);
  };
  for (const GoodFile& good : good_files())
    for (int round = 0; round < 500; ++round) {
      std::string bytes = good.bytes;
      const std::size_t length = 1 + random(std::min<std::size_t>(16, bytes.size() - 1));
      bytes.replace(random(bytes.size()), length, good.bytes, random(good.bytes.size()), length);
      try_read(bytes);
    }
}

}  // namespace
}  // namespace pollard::bad_files
