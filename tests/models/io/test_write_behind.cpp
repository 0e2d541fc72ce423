// SPDX-License-Identifier: Apache-2.0
#include "models/io/write_behind.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "graph/error.h"
#include "models/io/atomic_file.h"
#include "models/io/file.h"
#include "tests/bad_files/temp_folder.h"

namespace pollard::models::io {
namespace {

std::vector<std::byte> pattern(std::size_t count) {
  std::vector<std::byte> bytes(count);
  for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::byte>(i * 7 + i / 251);
  return bytes;
}

/// Notes whether writes bypassed the cache, and can refuse to.
class WatchedCalls final : public SystemCalls {
 public:
  int bypass_cache(int fd, bool on) override {
    if (on && !possible) return errno = EINVAL, -1;
    bypassing = on;
    return SystemCalls::bypass_cache(fd, on) == 0 || !on ? 0 : -1;
  }
  ssize_t write(int fd, const void* bytes, std::size_t count) override {
    if (bypassing && larger_blocks) return errno = EINVAL, -1;
    (bypassing ? direct : cached) += count;
    return SystemCalls::write(fd, bytes, count);
  }
  bool possible = true, larger_blocks = false, bypassing = false;
  std::size_t direct = 0, cached = 0;
};

struct Written {
  std::vector<std::byte> bytes;
  std::string digest;
};

Written write_behind(WatchedCalls& calls, std::span<const std::byte> bytes, std::size_t at_once) {
  const bad_files::TempFolder folder;
  AtomicFile file(folder / "out", {.bypass_cache = true, .calls = &calls});
  WriteBehind writer(file, 8192);
  for (std::size_t i = 0; i < bytes.size(); i += at_once)
    writer.write(bytes.subspan(i, std::min(at_once, bytes.size() - i)));
  Written written;
  EXPECT_EQ(writer.position(), bytes.size());
  written.digest = writer.finish();
  file.commit();
  written.bytes = read_file(folder / "out");
  return written;
}

TEST(WriteBehind, FilesOfEverySizeArriveWholeWithTheirHash) {
  for (const std::size_t size : {0, 1, 4095, 4096, 8191, 8192, 8193, 100'000})
    for (const std::size_t at_once : {1000, 4096, 50'000}) {
      const std::vector<std::byte> bytes = pattern(size);
      WatchedCalls calls;
      const Written written = write_behind(calls, bytes, at_once);
      EXPECT_EQ(written.bytes, bytes) << size;
      EXPECT_EQ(written.digest, sha256(bytes)) << size;
      EXPECT_EQ(calls.direct + calls.cached, size);
    }
}

TEST(WriteBehind, OnlyTheEndGoesThroughTheCache) {
  WatchedCalls calls;
  const std::vector<std::byte> bytes = pattern(100'000);
  EXPECT_EQ(write_behind(calls, bytes, 1000).bytes, bytes);
  if (calls.direct > 0) {  // a file system without direct writes takes all of it through the cache
    EXPECT_EQ(calls.direct, 100'000 / 4096 * 4096u);
  }
}

TEST(WriteBehind, ADiskThatCannotBypassTheCacheOrWantsLargerBlocksGetsTheSameBytes) {
  for (const bool possible : {false, true}) {
    WatchedCalls calls;
    calls.possible = possible;
    calls.larger_blocks = true;
    const std::vector<std::byte> bytes = pattern(50'000);
    EXPECT_EQ(write_behind(calls, bytes, 999).bytes, bytes);
    EXPECT_EQ(calls.cached, 50'000u);
  }
}

/// Fails after so many writes.
class FailingWriter final : public Writer {
 public:
  explicit FailingWriter(int left) : left_(left) {}
  void write(std::span<const std::byte> bytes) override {
    if (left_-- == 0)
      throw UserError({.code = "E0501", .exit = Exit::Environment, .subject = "", .message = "", .help = ""});
    position_ += bytes.size();
  }
  std::uint64_t position() const override { return position_; }

 private:
  int left_;
  std::uint64_t position_ = 0;
};

TEST(WriteBehind, AFailureIsThrownByALaterCallOrTheLast) {
  for (int good = 0; good < 3; ++good) {
    FailingWriter out(good);
    WriteBehind writer(out, 4096);
    const auto all = [&] {
      for (int i = 0; i < 3; ++i) writer.write(pattern(4096));
      writer.write(pattern(1));
      return writer.finish();
    };
    EXPECT_THROW(all(), UserError) << good;
  }
}

TEST(WriteBehind, MayBeLeftWithAFailureNobodyAskedFor) {
  FailingWriter out(0);
  WriteBehind writer(out, 4096);
  writer.write(pattern(4096));
}

}  // namespace
}  // namespace pollard::models::io
