// SPDX-License-Identifier: Apache-2.0
#include "models/io/zip_directory.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <utility>

#include "graph/error.h"
#include "models/io/bytes.h"
#include "models/io/convert_help.h"
#include "models/io/text.h"
#include "models/io/zip_format.h"

namespace pollard::models::io::zip {
namespace {

constexpr const char* kResave = "re-save it in Python: torch.save(torch.load(f, weights_only=True), f)";
constexpr const char* kDamaged = "compare its size and SHA-256 with the publisher's, or download it again";

[[noreturn]] void reject(const ByteSource& source, std::string message, std::uint64_t offset,
                         std::string help = kDamaged) {
  throw UserError({.code = "E0320",
                   .exit = Exit::BadFile,
                   .subject = source.name(),
                   .message = std::move(message),
                   .where = "byte offset " + std::to_string(offset),
                   .why = "two programs could read different contents from it; nothing was loaded",
                   .help = std::move(help)});
}

struct EndRecord {
  std::uint64_t count = 0;
  std::uint64_t directory_size = 0;
  std::uint64_t directory_offset = 0;
};

bool has_end_signature(const ByteSource& source, std::uint64_t offset) {
  return load_little<std::uint32_t>(source.read(offset, 4)) == kEnd;
}

/// Why the last 22 bytes are not an end record: bytes after it, or a file cut short.
[[noreturn]] void explain_missing_end(const ByteSource& source) {
  const std::uint64_t window = std::min<std::uint64_t>(source.size(), 65535 + kEndSize);
  const std::vector<std::byte> tail = source.read(source.size() - window, window);
  const std::size_t found = as_text(tail).rfind("PK\x05\x06");
  if (found != std::string_view::npos && tail.size() - found > kEndSize)
    reject(source,
           std::to_string(tail.size() - found - kEndSize) + " bytes follow the end of the zip archive",
           source.size() - window + found + kEndSize);
  reject(source, "the zip archive has no end record: incomplete download?", source.size());
}

/// The zip64 end record that a locator before the end record points to, if there is one.
std::optional<EndRecord> read_zip64_end(const ByteSource& source, std::uint64_t end_offset) {
  if (end_offset < kZip64LocatorSize + kZip64EndSize) return std::nullopt;
  const std::uint64_t locator_offset = end_offset - kZip64LocatorSize;
  const std::uint64_t record_offset = locator_offset - kZip64EndSize;
  const auto bytes = source.read(record_offset, kZip64EndSize + kZip64LocatorSize);
  Cursor locator(std::span<const std::byte>(bytes).subspan(kZip64EndSize));
  if (locator.u32() != kZip64Locator) return std::nullopt;
  const std::uint32_t locator_disk = locator.u32();
  const std::uint64_t pointed = locator.u64();
  const std::uint32_t disks = locator.u32();
  Cursor record(bytes);
  if (pointed != record_offset || record.u32() != kZip64End || record.u64() != kZip64EndSize - 12)
    reject(source, "the zip64 end record is not where its locator says", locator_offset);
  record.take(4);  // versions made by and needed
  const bool one_disk = record.u32() == 0 && record.u32() == 0 && locator_disk == 0 && disks <= 1;
  EndRecord out;
  out.count = record.u64();
  if (!one_disk || record.u64() != out.count)
    reject(source, "the zip archive spans several disks", record_offset);
  out.directory_size = record.u64();
  out.directory_offset = record.u64();
  return out;
}

EndRecord read_end(const ByteSource& source, std::uint64_t& directory_end) {
  if (source.size() < kEndSize) explain_missing_end(source);
  const std::uint64_t end_offset = source.size() - kEndSize;
  const auto bytes = source.read(end_offset, kEndSize);
  Cursor end(bytes);
  if (end.u32() != kEnd) explain_missing_end(source);
  const std::uint32_t disk = end.u16();
  const std::uint32_t directory_disk = end.u16();
  const std::uint16_t count_here = end.u16();
  const std::uint16_t count = end.u16();
  const std::uint32_t directory_size = end.u32();
  const std::uint32_t directory_offset = end.u32();
  if (end.u16() != 0) reject(source, "the end record announces a comment that is not there", end_offset + 20);
  if (disk != 0 || directory_disk != 0 || count_here != count)
    reject(source, "the zip archive spans several disks", end_offset);

  const auto zip64 = read_zip64_end(source, end_offset);
  directory_end = zip64 ? end_offset - kZip64LocatorSize - kZip64EndSize : end_offset;
  if (!zip64) return {.count = count, .directory_size = directory_size, .directory_offset = directory_offset};
  const bool agree = (count == kSeeZip64Short || count == zip64->count) &&
                     (directory_size == kSeeZip64 || directory_size == zip64->directory_size) &&
                     (directory_offset == kSeeZip64 || directory_offset == zip64->directory_offset);
  if (!agree) reject(source, "the end record and the zip64 end record disagree", end_offset);
  return *zip64;
}

/// The eight-byte values of the zip64 field among a header's extra fields; empty when there is none.
std::vector<std::uint64_t> zip64_values(const ByteSource& source, std::span<const std::byte> extra,
                                        std::uint64_t offset) {
  std::vector<std::uint64_t> values;
  bool seen = false;
  for (Cursor cursor(extra); !cursor.at_end();) {
    const std::uint16_t id = cursor.u16();
    Cursor field(cursor.take(cursor.u16()));
    if (id != kZip64Extra) continue;
    if (std::exchange(seen, true)) reject(source, "a zip header has two zip64 fields", offset);
    while (field.remaining() >= 8) values.push_back(field.u64());
  }
  return values;
}

void check_flags(const ByteSource& source, const DirectoryEntry& entry, std::uint16_t method) {
  constexpr std::uint16_t kKnown = kFlagCompressionHints | kFlagDescriptor | kFlagUtf8;
  std::string problem;
  if ((entry.flags & ~kKnown) != 0) problem = "is encrypted or has unknown flags";
  if ((entry.flags & kFlagEncrypted) != 0) problem = "is encrypted";
  if (problem.empty() && method == 8) problem = "is compressed (deflate)";
  if (problem.empty() && method != kStored) problem = "uses zip method " + std::to_string(method);
  if (problem.empty()) return;
  // TorchScript deflates its source code: say what the file is rather than what is wrong with the entry.
  if (entry.name.find("/code/__torch__") != std::string::npos)
    refuse_format(OldFormat::TorchScript, source.name(), "entry " + in_quotes(entry.name));
  throw UserError({.code = "E0321",
                   .exit = Exit::BadFile,
                   .subject = source.name(),
                   .message = "entry " + in_quotes(entry.name) + " " + problem,
                   .where = "byte offset " + std::to_string(entry.header_offset),
                   .why = "only stored entries are read: a small compressed file may unpack to any size",
                   .help = kResave});
}

/// Replaces a 32-bit field that says "see zip64" by the next zip64 value.
std::uint64_t widen(const ByteSource& source, std::uint32_t field, std::span<const std::uint64_t>& values,
                    std::uint64_t offset) {
  if (field != kSeeZip64) return field;
  if (values.empty()) reject(source, "a zip header lacks its zip64 sizes", offset);
  const std::uint64_t value = values.front();
  values = values.subspan(1);
  return value;
}

DirectoryEntry read_central_header(const ByteSource& source, Cursor& cursor, std::uint64_t directory_offset) {
  const std::uint64_t here = directory_offset + cursor.position();
  if (cursor.u32() != kCentralHeader) reject(source, "the zip directory is damaged", here);
  cursor.take(4);
  DirectoryEntry entry;
  entry.flags = cursor.u16();
  const std::uint16_t method = cursor.u16();
  cursor.take(4);
  entry.crc = cursor.u32();
  const std::uint32_t stored_size = cursor.u32();
  const std::uint32_t size = cursor.u32();
  const std::uint16_t name_length = cursor.u16();
  const std::uint16_t extra_length = cursor.u16();
  const std::uint16_t comment_length = cursor.u16();
  const std::uint16_t disk = cursor.u16();
  cursor.take(6);
  const std::uint32_t header_offset = cursor.u32();
  entry.name = cursor.take_text(name_length);
  const auto values = zip64_values(source, cursor.take(extra_length), here);
  cursor.take(comment_length);

  std::span<const std::uint64_t> rest(values);
  entry.size = widen(source, size, rest, here);
  const std::uint64_t stored = widen(source, stored_size, rest, here);
  entry.header_offset = widen(source, header_offset, rest, here);
  check_flags(source, entry, method);
  if (stored != entry.size || disk != 0)
    reject(source, "a stored entry has two sizes, or another disk", here);
  return entry;
}

std::vector<DirectoryEntry> read_central_directory(const ByteSource& source,
                                                   std::uint64_t& directory_offset) {
  std::uint64_t directory_end = 0;
  const EndRecord end = read_end(source, directory_end);
  directory_offset = end.directory_offset;
  const auto stop = checked_add(end.directory_offset, end.directory_size);
  if (!stop || *stop != directory_end)
    reject(source,
           "the zip directory is not right before its end record (bytes before or after the archive?)",
           directory_end);
  if (end.count > end.directory_size / kCentralHeaderSize)
    reject(source, "the zip directory is too small for its " + std::to_string(end.count) + " entries", *stop);
  const auto bytes = source.read(end.directory_offset, end.directory_size);
  Cursor cursor(bytes);
  std::vector<DirectoryEntry> entries;
  entries.reserve(static_cast<std::size_t>(end.count));
  for (std::uint64_t i = 0; i < end.count; ++i)
    entries.push_back(read_central_header(source, cursor, end.directory_offset));
  if (!cursor.at_end())
    reject(source, "the zip directory has more entries than announced",
           end.directory_offset + cursor.position());
  return entries;
}

/// A local zip64 field holds both sizes, the header's offset, or all three (miniz writes any of these); sizes
/// may be zero when a descriptor follows the data.
bool zip64_agrees(const DirectoryEntry& entry, std::span<const std::uint64_t> values, bool later) {
  if (values.size() > 3) return false;
  if (values.size() % 2 == 1 && values.back() != entry.header_offset) return false;
  if (values.size() < 2) return true;
  const auto known = [&](std::uint64_t size) { return size == entry.size || (later && size == 0); };
  return known(values[0]) && known(values[1]);
}

/// With a descriptor after the data the local header may hold zeros; otherwise it must repeat the central
/// one.
bool local_numbers_agree(const DirectoryEntry& entry, std::uint32_t crc, std::uint32_t stored,
                         std::uint32_t size, std::span<const std::uint64_t> zip64) {
  const bool later = (entry.flags & kFlagDescriptor) != 0;
  const auto agrees = [&](std::uint32_t field) {
    if (field == kSeeZip64 && zip64.size() >= 2) return true;
    return field == entry.size || (later && field == 0);
  };
  return (crc == entry.crc || (later && crc == 0)) && agrees(stored) && agrees(size) &&
         zip64_agrees(entry, zip64, later);
}

void read_local_header(const ByteSource& source, DirectoryEntry& entry, std::uint64_t limit) {
  const std::uint64_t here = entry.header_offset;
  const auto differ = [&] {
    reject(source, "the two headers of entry " + in_quotes(entry.name) + " differ", here);
  };
  if (!fits(here, kLocalHeaderSize, limit)) differ();
  const auto fixed = source.read(here, kLocalHeaderSize);
  Cursor cursor(fixed);
  if (cursor.u32() != kLocalHeader) reject(source, "no entry where the zip directory says", here);
  cursor.take(2);
  if (cursor.u16() != entry.flags || cursor.u16() != kStored) differ();
  cursor.take(4);
  const std::uint32_t crc = cursor.u32();
  const std::uint32_t stored = cursor.u32();
  const std::uint32_t size = cursor.u32();
  const std::uint64_t name_length = cursor.u16();
  const std::uint64_t extra_length = cursor.u16();
  if (name_length != entry.name.size() || !fits(here + kLocalHeaderSize, name_length + extra_length, limit))
    differ();
  const auto variable = source.read(here + kLocalHeaderSize, name_length + extra_length);
  const auto zip64 = zip64_values(source, std::span(variable).subspan(name_length), here);
  if (as_text(std::span(variable).first(name_length)) != entry.name) differ();
  if (!local_numbers_agree(entry, crc, stored, size, zip64)) differ();
  entry.data_offset = here + kLocalHeaderSize + name_length + extra_length;
  if (!fits(entry.data_offset, entry.size, limit))
    reject(source,
           "entry " + in_quotes(entry.name) + " of " + std::to_string(entry.size) +
               " bytes overlaps the next or passes the end",
           here);
}

/// What lies between an entry's data and the next header: a descriptor that repeats its CRC and size, or
/// nothing.
void check_gap(const ByteSource& source, const DirectoryEntry& entry, std::uint64_t next) {
  const std::uint64_t data_end = entry.data_offset + entry.size;
  const std::uint64_t gap = next - data_end;
  bool good =
      (entry.flags & kFlagDescriptor) == 0 ? gap == 0 : gap == 12 || gap == 16 || gap == 20 || gap == 24;
  if (good && gap > 0) {
    const auto bytes = source.read(data_end, gap);
    Cursor cursor(bytes);
    if (gap == 16 || gap == 24) good = cursor.u32() == kDescriptor;
    good = good && cursor.u32() == entry.crc;
    const bool wide = gap >= 20;
    good = good && (wide ? cursor.u64() : cursor.u32()) == entry.size;
    good = good && (wide ? cursor.u64() : cursor.u32()) == entry.size;
  }
  if (!good) reject(source, "unaccounted bytes after entry " + in_quotes(entry.name), data_end);
}

/// Follows the entries through the file: each begins where the one before it ended.
void check_tiling(const ByteSource& source, std::vector<DirectoryEntry>& entries,
                  std::uint64_t directory_offset) {
  std::sort(entries.begin(), entries.end(),
            [](const auto& a, const auto& b) { return a.header_offset < b.header_offset; });
  if (!entries.empty() && entries.front().header_offset != 0)
    reject(source, std::to_string(entries.front().header_offset) + " bytes lie before the first entry", 0);
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const std::uint64_t next = i + 1 < entries.size() ? entries[i + 1].header_offset : directory_offset;
    if (next > directory_offset) reject(source, "an entry begins inside the zip directory", next);
    read_local_header(source, entries[i], next);
    check_gap(source, entries[i], next);
  }
}

}  // namespace

std::vector<DirectoryEntry> read_directory(const ByteSource& source) {
  if (source.size() < 4 || load_little<std::uint32_t>(source.read(0, 4)) != kLocalHeader) {
    if (source.size() >= kEndSize && has_end_signature(source, source.size() - kEndSize))
      reject(source, "the zip archive is empty, or bytes lie before its first entry", 0);
    reject_unrecognised(source, "a zip archive");
  }
  try {
    std::uint64_t directory_offset = 0;
    std::vector<DirectoryEntry> entries = read_central_directory(source, directory_offset);
    check_tiling(source, entries, directory_offset);
    return entries;
  } catch (const OutOfBytes& short_record) {
    reject(source, "a zip record ends too early", short_record.position);
  }
}

}  // namespace pollard::models::io::zip
