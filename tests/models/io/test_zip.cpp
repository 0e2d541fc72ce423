// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "models/io/atomic_file.h"
#include "models/io/bytes.h"
#include "models/io/crc32.h"
#include "models/io/zip_reader.h"
#include "models/io/zip_writer.h"
#include "tests/bad_files/builders.h"
#include "tests/bad_files/expect_error.h"
#include "tests/bad_files/temp_folder.h"

namespace pollard::models::io {
namespace {

using bad_files::TempFolder;

std::shared_ptr<const ByteSource> in_memory(std::string_view bytes) {
  const auto span = as_bytes(bytes);
  return memory_source({span.begin(), span.end()}, "m.pt");
}

/// Keeps what is written, except long runs of zeros: files larger than memory can be written and read back.
class SparseFile final : public Writer, public ByteSource {
 public:
  void write(std::span<const std::byte> bytes) override {
    const bool zeros = bytes.size() >= 4096 && bytes[0] == std::byte{} &&
                       std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0;
    if (!zeros) parts_.push_back({size_, {bytes.begin(), bytes.end()}});
    size_ += bytes.size();
  }
  std::uint64_t position() const override { return size_; }
  std::uint64_t size() const override { return size_; }
  const std::string& name() const override { return name_; }
  void read_at(std::uint64_t offset, std::span<std::byte> out) const override {
    ASSERT_TRUE(fits(offset, out.size(), size_));
    std::fill(out.begin(), out.end(), std::byte{});
    auto part = std::upper_bound(parts_.begin(), parts_.end(), offset,
                                 [](auto at, const Part& p) { return at < p.offset; });
    if (part != parts_.begin()) --part;
    for (; part != parts_.end() && part->offset < offset + out.size(); ++part) {
      const std::uint64_t begin = std::max(offset, part->offset);
      const std::uint64_t end = std::min(offset + out.size(), part->offset + part->bytes.size());
      if (begin < end) std::memcpy(&out[begin - offset], &part->bytes[begin - part->offset], end - begin);
    }
  }

 private:
  struct Part {
    std::uint64_t offset;
    std::vector<std::byte> bytes;
  };
  std::vector<Part> parts_;
  std::uint64_t size_ = 0;
  std::string name_ = "sparse.pt";
};

std::shared_ptr<const ByteSource> borrowed(const SparseFile& file) {
  return {std::shared_ptr<const ByteSource>(), &file};
}

TEST(Crc32, IsTheOneOfZip) {
  EXPECT_EQ(crc32(as_bytes("123456789")), 0xCBF43926U);
  EXPECT_EQ(crc32({}), 0U);
  const std::string text(1000, 'q');
  for (std::size_t cut = 0; cut < 40; ++cut) {
    const auto bytes = as_bytes(text);
    EXPECT_EQ(crc32(bytes.subspan(cut), crc32(bytes.first(cut))), crc32(bytes));
  }
}

TEST(Zip, RoundTripKeepsNamesOrderAndBytes) {
  SparseFile file;
  ZipWriter writer(file, "net");
  writer.add("data/weights/weight_0", std::string(1000, 'w'));
  writer.add(".data/version", std::string_view("3\n"));
  writer.add("empty", std::string_view());
  writer.add("in_parts", 6, [](const ZipWriter::Sink& sink) {
    sink(as_bytes("abc"));
    sink(as_bytes("def"));
  });
  writer.finish();
  const ZipReader reader(borrowed(file));
  EXPECT_EQ(reader.root(), "net");
  ASSERT_EQ(reader.entries().size(), 4U);
  EXPECT_EQ(reader.entries()[1].name, ".data/version");
  EXPECT_EQ(reader.read_text(reader.require("data/weights/weight_0")), std::string(1000, 'w'));
  EXPECT_EQ(reader.read_text(reader.require("empty")), "");
  EXPECT_EQ(reader.read_text(reader.require("in_parts")), "abcdef");
}

TEST(Zip, WrittenDataIsAlignedTo64Bytes) {
  SparseFile file;
  ZipWriter writer(file, "a root with spaces");
  for (int i = 0; i < 100; ++i)
    writer.add("e" + std::to_string(i), std::string(static_cast<std::size_t>(i), 'x'));
  writer.finish();
  const ZipReader reader(borrowed(file));
  for (const ZipEntry& entry : reader.entries()) EXPECT_EQ(entry.offset % 64, 0U) << entry.name;
}

TEST(Zip, SameContentGivesSameBytes) {
  const TempFolder folder;
  for (const char* name : {"a", "b"}) {
    AtomicFile file(folder / name);
    ZipWriter writer(file, "r");
    writer.add("x", std::string_view("content"));
    writer.finish();
    file.commit();
  }
  EXPECT_EQ(TempFolder::read(folder / "a"), TempFolder::read(folder / "b"));
}

TEST(Zip, HoldsEntriesBeyond4GiB) {
  SparseFile file;
  ZipWriter writer(file, "big");
  const std::vector<std::byte> zeros(std::size_t{64} << 20U);
  constexpr std::uint64_t kSize = (std::uint64_t{4} << 30U) + (std::uint64_t{64} << 20U);
  writer.add("data/0", kSize, [&](const ZipWriter::Sink& sink) {
    for (std::uint64_t done = 0; done < kSize; done += zeros.size()) sink(zeros);
  });
  writer.add("data/1", std::string_view("after"));
  writer.finish();
  const ZipReader reader(borrowed(file));
  EXPECT_EQ(reader.require("data/0").size, kSize);
  EXPECT_GT(reader.require("data/1").offset, kSize);
  EXPECT_EQ(reader.read_text(reader.require("data/1")), "after");
}

TEST(Zip, HoldsMoreThan65535Entries) {
  SparseFile file;
  ZipWriter writer(file, "many");
  for (int i = 0; i < 66'000; ++i) writer.add("data/" + std::to_string(i), std::string_view("x"));
  writer.finish();
  EXPECT_EQ(ZipReader(borrowed(file)).entries().size(), 66'000U);
}

TEST(Zip, NestedArchivesOpen) {
  const auto inner = bad_files::torch_zip("pickle", {{"0", "data"}});
  const bad_files::RawZip outer{
      .entries = {{.name = "m/data/sample_inputs/model.pt", .data = inner.bytes()}}};
  const ZipReader reader(in_memory(outer.bytes()));
  const ZipReader nested(reader.open(reader.require("data/sample_inputs/model.pt")));
  EXPECT_EQ(nested.read_text(nested.require("data/0")), "data");
  EXPECT_EQ(nested.name(), "m.pt (entry data/sample_inputs/model.pt)");
}

TEST(Zip, ChecksumsCanBeIgnored) {
  auto zip = bad_files::torch_zip("pickle", {{"0", "data"}});
  zip.entries[2].crc = 0;
  const ZipReader strict(in_memory(zip.bytes()));
  bad_files::expect_error("E0323", Exit::BadFile, {"--no-crc"},
                          [&] { strict.read(strict.require("data/0")); });
  const ZipReader trusting(in_memory(zip.bytes()), {.check_crc = false});
  EXPECT_EQ(trusting.read_text(trusting.require("data/0")), "data");
}

TEST(Zip, MissingEntryIsNamed) {
  const ZipReader reader(in_memory(bad_files::torch_zip("pickle", {}).bytes()));
  bad_files::expect_error("E0324", Exit::BadFile, {"models/model.json", "m.pt"},
                          [&] { reader.require("models/model.json"); });
}

TEST(ZipWriter, RefusesAWrongSize) {
  SparseFile file;
  ZipWriter writer(file, "r");
  EXPECT_THROW(writer.add("x", 3, [](const ZipWriter::Sink& sink) { sink(as_bytes("ab")); }), InternalError);
}

TEST(ZipWriter, RefusesNamesNoReaderWouldTake) {
  SparseFile file;
  ZipWriter writer(file, "r");
  for (const char* name : {"", "/x", "../x", "a//b", "a b", "a\\b"})
    EXPECT_THROW(writer.add(name, std::string_view()), InternalError) << name;
  writer.add("x", std::string_view());
  EXPECT_THROW(writer.add("x", std::string_view()), InternalError);
}

}  // namespace
}  // namespace pollard::models::io
