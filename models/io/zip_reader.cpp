// SPDX-License-Identifier: Apache-2.0
#include "models/io/zip_reader.h"

#include <algorithm>
#include <utility>

#include "graph/error.h"
#include "models/io/bytes.h"
#include "models/io/cancel.h"
#include "models/io/convert_help.h"
#include "models/io/crc32.h"
#include "models/io/text.h"
#include "models/io/zip_directory.h"
#include "models/io/zip_names.h"

namespace pollard::models::io {
namespace {

/// Small enough that the CRC finds the bytes still in the cache.
constexpr std::size_t kChunk = std::size_t{256} << 10;

[[noreturn]] void reject_name(const ByteSource& source, const zip::DirectoryEntry& entry, std::string message,
                              std::string why) {
  throw UserError({.code = "E0322",
                   .exit = Exit::BadFile,
                   .subject = source.name(),
                   .message = std::move(message),
                   .where = "byte offset " + std::to_string(entry.header_offset),
                   .why = std::move(why),
                   .help = "re-save it in Python with torch.save or torch.export.save"});
}

}  // namespace

ZipReader::ZipReader(std::shared_ptr<const ByteSource> source, Options options)
    : source_(std::move(source)), options_(options) {
  for (const zip::DirectoryEntry& found : zip::read_directory(*source_)) {
    const std::size_t slash = std::min(found.name.find('/'), found.name.size());
    const std::string_view full = found.name;
    if (full == "serialized_exported_program.json")
      refuse_format(OldFormat::Export, source_->name(), "entry " + found.name);
    if (slash == full.size() || !is_root_name(full.substr(0, slash)) ||
        !is_entry_name(full.substr(slash + 1)))
      reject_name(*source_, found, "entry name " + in_quotes(full) + " is not allowed",
                  "names are root/part/part of letters, digits, '.', '_' and '-'");
    if (entries_.empty()) root_ = full.substr(0, slash);
    if (full.substr(0, slash) != root_)
      reject_name(*source_, found,
                  "two root directories, " + in_quotes(root_) + " and " + in_quotes(full.substr(0, slash)),
                  "readers differ on which one counts");
    ZipEntry entry{std::string(full.substr(slash + 1)), found.data_offset, found.size, found.crc};
    if (!by_name_.emplace(entry.name, entries_.size()).second)
      reject_name(*source_, found, "two entries are called " + in_quotes(full),
                  "readers differ on which one counts");
    entries_.push_back(std::move(entry));
  }
}

const ZipEntry* ZipReader::find(std::string_view name) const {
  const auto it = by_name_.find(name);
  return it == by_name_.end() ? nullptr : &entries_[it->second];
}

const ZipEntry& ZipReader::require(std::string_view name) const {
  if (const ZipEntry* entry = find(name)) return *entry;
  throw UserError({.code = "E0324",
                   .exit = Exit::BadFile,
                   .subject = source_->name(),
                   .message = "the archive has no entry " + in_quotes(name),
                   .where = "root directory " + in_quotes(root_),
                   .help = "compare its SHA-256 with the publisher's, or download it again"});
}

void ZipReader::read_into(const ZipEntry& entry, std::span<std::byte> out) const {
  POLLARD_CHECK(out.size() == entry.size, std::to_string(out.size()) + " != " + std::to_string(entry.size));
  std::uint32_t crc = 0;
  for (std::size_t done = 0; done < out.size();) {
    throw_if_cancelled();
    const auto part = out.subspan(done, std::min(kChunk, out.size() - done));
    source_->read_at(entry.offset + done, part);
    if (options_.check_crc) crc = crc32(part, crc);
    done += part.size();
  }
  if (options_.check_crc && crc != entry.crc)
    throw UserError({.code = "E0323",
                     .exit = Exit::BadFile,
                     .subject = source_->name(),
                     .message = "entry " + in_quotes(entry.name) + " fails its checksum (CRC-32)",
                     .where = "byte offset " + std::to_string(entry.offset),
                     .why = "at least one bit of it changed after it was written; nothing was loaded",
                     .help = "download it again; --no-crc reads files written without checksums"});
}

std::vector<std::byte> ZipReader::read(const ZipEntry& entry) const {
  std::vector<std::byte> out(static_cast<std::size_t>(entry.size));
  read_into(entry, out);
  return out;
}

std::string ZipReader::read_text(const ZipEntry& entry) const {
  std::string out(static_cast<std::size_t>(entry.size), '\0');
  read_into(entry, std::as_writable_bytes(std::span(out)));
  return out;
}

std::shared_ptr<const ByteSource> ZipReader::open(const ZipEntry& entry) const {
  return memory_source(read(entry), source_->name() + " (entry " + printable(entry.name) + ")");
}

bool is_zip(std::span<const std::byte> head) { return as_text(head).starts_with("PK\x03\x04"); }

}  // namespace pollard::models::io
