// SPDX-License-Identifier: Apache-2.0
#include "models/io/zip_writer.h"

#include <algorithm>
#include <utility>

#include "graph/error.h"
#include "models/io/bytes.h"
#include "models/io/crc32.h"
#include "models/io/zip_format.h"
#include "models/io/zip_names.h"

namespace pollard::models::io {
namespace {

using namespace zip;

/// A record under construction, little-endian.
class Record {
 public:
  Record& u16(std::uint64_t value) { return append(value, 2); }
  Record& u32(std::uint64_t value) { return append(value, 4); }
  Record& u64(std::uint64_t value) { return append(value, 8); }
  Record& text(std::string_view value) {
    bytes_ += value;
    return *this;
  }
  std::span<const std::byte> bytes() const { return as_bytes(bytes_); }

 private:
  Record& append(std::uint64_t value, int width) {
    for (int i = 0; i < width; ++i) bytes_ += static_cast<char>(value >> (8 * i));
    return *this;
  }
  std::string bytes_;
};

/// Entries this large, or this far into the file, carry a zip64 field and 64-bit descriptors.
bool needs_zip64(std::uint64_t size, std::uint64_t header_offset) {
  return size >= kSeeZip64 || header_offset >= kSeeZip64;
}

std::uint64_t clipped(std::uint64_t value, bool zip64) { return zip64 ? kSeeZip64 : value; }

constexpr std::uint16_t kFlags = kFlagDescriptor | kFlagUtf8;
constexpr std::uint16_t kPaddingExtra = 0x4246;  // "FB", the field PyTorch pads with
constexpr std::uint16_t kVersionZip64 = 45;
constexpr std::uint16_t kVersionPlain = 20;

}  // namespace

ZipWriter::ZipWriter(Writer& out, std::string root) : out_(out), root_(std::move(root)) {
  POLLARD_CHECK(is_root_name(root_), root_);
  POLLARD_CHECK(out_.position() == 0, "offsets count from the start of the file");
}

void ZipWriter::add(std::string_view name, std::span<const std::byte> data) {
  add(name, data.size(), [&](const Sink& sink) { sink(data); });
}

void ZipWriter::add(std::string_view name, std::string_view text) { add(name, as_bytes(text)); }

void ZipWriter::add(std::string_view name, std::uint64_t size,
                    const std::function<void(const Sink&)>& produce) {
  POLLARD_CHECK(!finished_ && is_entry_name(name) && names_.emplace(name).second, std::string(name));
  Entry entry{root_ + "/" + std::string(name), out_.position(), size, 0};
  write_local_header(entry);
  const std::uint64_t start = out_.position();
  produce([&](std::span<const std::byte> part) {
    entry.crc = crc32(part, entry.crc);
    out_.write(part);
  });
  POLLARD_CHECK(out_.position() - start == size, entry.name);
  write_descriptor(entry);
  entries_.push_back(std::move(entry));
}

void ZipWriter::write_local_header(const Entry& entry) {
  const bool zip64 = needs_zip64(entry.size, entry.header_offset);
  const std::uint64_t zip64_extra = zip64 ? 4 + 16 : 0;
  const std::uint64_t unpadded = out_.position() + kLocalHeaderSize + entry.name.size() + zip64_extra + 4;
  const std::uint64_t padding = (kAlignment - unpadded % kAlignment) % kAlignment;
  Record record;
  record.u32(kLocalHeader).u16(zip64 ? kVersionZip64 : kVersionPlain).u16(kFlags).u16(kStored).u32(0);
  record.u32(0).u32(clipped(0, zip64)).u32(clipped(0, zip64));
  record.u16(entry.name.size()).u16(zip64_extra + 4 + padding).text(entry.name);
  if (zip64) record.u16(kZip64Extra).u16(16).u64(entry.size).u64(entry.size);
  record.u16(kPaddingExtra).u16(padding).text(std::string(padding, 'Z'));
  out_.write(record.bytes());
}

void ZipWriter::write_descriptor(const Entry& entry) {
  Record record;
  record.u32(kDescriptor).u32(entry.crc);
  if (needs_zip64(entry.size, entry.header_offset))
    record.u64(entry.size).u64(entry.size);
  else
    record.u32(entry.size).u32(entry.size);
  out_.write(record.bytes());
}

void ZipWriter::write_central_header(const Entry& entry) {
  const bool zip64 = needs_zip64(entry.size, entry.header_offset);
  const std::uint16_t version = zip64 ? kVersionZip64 : kVersionPlain;
  Record record;
  record.u32(kCentralHeader).u16(version).u16(version).u16(kFlags).u16(kStored).u32(0).u32(entry.crc);
  record.u32(clipped(entry.size, zip64)).u32(clipped(entry.size, zip64));
  record.u16(entry.name.size()).u16(zip64 ? 4 + 24 : 0).u16(0).u16(0).u16(0).u32(0);
  record.u32(clipped(entry.header_offset, zip64)).text(entry.name);
  if (zip64) record.u16(kZip64Extra).u16(24).u64(entry.size).u64(entry.size).u64(entry.header_offset);
  out_.write(record.bytes());
}

void ZipWriter::write_end(std::uint64_t directory_offset) {
  const std::uint64_t size = out_.position() - directory_offset;
  const std::uint64_t count = entries_.size();
  const std::uint64_t zip64_offset = out_.position();
  Record record;
  record.u32(kZip64End).u64(kZip64EndSize - 12).u16(kVersionZip64).u16(kVersionZip64).u32(0).u32(0);
  record.u64(count).u64(count).u64(size).u64(directory_offset);
  record.u32(kZip64Locator).u32(0).u64(zip64_offset).u32(1);
  const std::uint64_t short_count = std::min<std::uint64_t>(count, kSeeZip64Short);
  record.u32(kEnd).u16(0).u16(0).u16(short_count).u16(short_count);
  record.u32(std::min<std::uint64_t>(size, kSeeZip64));
  record.u32(std::min<std::uint64_t>(directory_offset, kSeeZip64)).u16(0);
  out_.write(record.bytes());
}

void ZipWriter::finish() {
  POLLARD_CHECK(!finished_, "finish() is called once");
  finished_ = true;
  const std::uint64_t directory_offset = out_.position();
  for (const Entry& entry : entries_) write_central_header(entry);
  write_end(directory_offset);
}

}  // namespace pollard::models::io
