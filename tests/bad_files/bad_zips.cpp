// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "tests/bad_files/builders.h"
#include "tests/bad_files/make_bad_files.h"

namespace pollard::bad_files {
namespace {

using namespace std::string_literals;

RawZip plain() { return torch_zip(state_dict({{}}), {{"0", floats(6)}}); }

/// plain() after `change`.
template <class Change>
BadFile bad(int row, std::string name, std::string code, std::vector<std::string> says, Change change) {
  RawZip zip = plain();
  change(zip);
  return {.row = row,
          .name = std::move(name) + ".pt",
          .bytes = zip.bytes(),
          .code = std::move(code),
          .says = std::move(says)};
}

/// Bytes that begin with a valid entry, so that the file is seen as a zip.
std::string polyglot_prefix() { return "PK\x03\x04"s + std::string(40, 'x'); }

std::vector<BadFile> bad_structures() {
  return {
      bad(12, "junk_before", "E0320", {"byte"}, [](RawZip& zip) { zip.before = polyglot_prefix(); }),
      bad(12, "junk_after", "E0320", {"9 bytes follow"}, [](RawZip& zip) { zip.after = "<script/>"; }),
      bad(12, "junk_between", "E0320", {"unaccounted bytes", "archive/version"},
          [](RawZip& zip) { zip.between = "hidden"; }),
      bad(12, "two_end_records", "E0320", {"not right before its end record"},
          [](RawZip& zip) { zip.end_records = 2; }),
      bad(12, "local_name_differs", "E0320", {"two headers", "differ"},
          [](RawZip& zip) { zip.entries[2].local_name = "archive/data/1"; }),
      bad(12, "local_size_differs", "E0320", {"differ"}, [](RawZip& zip) { zip.entries[2].local_size = 4; }),
      bad(12, "local_method_differs", "E0320", {"differ"},
          [](RawZip& zip) { zip.entries[2].local_method = 8; }),
      bad(12, "overlapping_entries", "E0320", {"archive/data/0"},
          [](RawZip& zip) { zip.entries[2].central_size = zip.entries[2].local_size = 60; }),
      // Fifield's bomb: many central headers share one local header.
      bad(12, "shared_data", "E0320", {"byte offset"},
          [](RawZip& zip) { zip.entries[2].central_offset = 0; }),
      bad(12, "offset_past_end", "E0320", {"byte offset"},
          [](RawZip& zip) { zip.entries[2].central_offset = 0x7FFFFFFF; }),
      bad(12, "more_entries_than_announced", "E0320", {"more entries"}, [](RawZip& zip) { zip.count = 3; }),
      bad(12, "fewer_entries_than_announced", "E0320", {"entries"}, [](RawZip& zip) { zip.count = 60000; }),
      bad(12, "directory_elsewhere", "E0320", {"directory"}, [](RawZip& zip) { zip.directory_offset = 4; }),
      bad(12, "no_end_record", "E0320", {"incomplete download?"}, [](RawZip& zip) { zip.end_records = 0; }),
  };
}

std::vector<BadFile> bad_methods() {
  return {
      bad(13, "deflated", "E0321", {"compressed (deflate)", "torch.save", "archive/data/0"},
          [](RawZip& zip) { zip.entries[2].method = 8; }),
      bad(13, "zstd", "E0321", {"method 93"}, [](RawZip& zip) { zip.entries[2].method = 93; }),
      bad(13, "encrypted", "E0321", {"is encrypted"}, [](RawZip& zip) { zip.entries[2].flags = 0x0001; }),
      bad(13, "patched", "E0321", {"unknown flags"}, [](RawZip& zip) { zip.entries[2].flags = 0x0020; }),
      bad(13, "strongly_encrypted", "E0321", {"unknown flags"},
          [](RawZip& zip) { zip.entries[2].flags = 0x0040; }),
      bad(13, "masked_headers", "E0321", {"unknown flags"},
          [](RawZip& zip) { zip.entries[2].flags = 0x2000; }),
  };
}

BadFile bad_name(std::string name, std::string entry, std::vector<std::string> says) {
  return bad(14, std::move(name), "E0322", std::move(says),
             [&](RawZip& zip) { zip.entries.push_back({.name = std::move(entry), .data = "evil"}); });
}

std::vector<BadFile> bad_names() {
  return {
      bad_name("duplicate_entry", "archive/data.pkl", {"two entries", "archive/data.pkl"}),
      bad_name("two_roots", "other/data.pkl", {"two root directories", "\"archive\"", "\"other\""}),
      bad_name("parent_directory", "archive/../../tmp/evil", {"not allowed", "../../tmp/evil"}),
      bad_name("absolute", "/etc/passwd", {"not allowed"}),
      bad_name("backslash", "archive\\..\\evil", {"not allowed"}),
      bad_name("nul", "archive/data\0.pkl"s, {"not allowed", "\\x00"}),
      bad_name("no_root", "data.pkl", {"not allowed"}),
      bad_name("directory_entry", "archive/data/", {"not allowed"}),
      bad_name("dot", "archive/./x", {"not allowed"}),
      bad_name("ansi", "archive/\x1b[31mred", {"\\x1b[31m"}),
  };
}

/// A zip64 end record and locator, each field as given.
std::string zip64_end(std::uint64_t count, std::uint64_t size, std::uint64_t offset, std::uint64_t position) {
  return "PK\x06\x06" + little(44, 8) + little(45, 2) + little(45, 2) + little(0, 8) + little(count, 8) +
         little(count, 8) + little(size, 8) + little(offset, 8) + "PK\x06\x07" + little(0, 4) +
         little(position, 8) + little(1, 4);
}

std::vector<BadFile> bad_zip64() {
  const std::string past =
      little(1, 2) + little(24, 2) + little(1ULL << 40U, 8) + little(1ULL << 40U, 8) + little(0, 8);
  return {
      bad(16, "zip64_size_past_end", "E0320", {"archive/data/0"},
          [&](RawZip& zip) {
            zip.entries[2].central_size = 0xFFFFFFFF;
            zip.entries[2].central_extra = past;
          }),
      bad(16, "local_zip64_size_differs", "E0320", {"two headers", "differ"},
          [&](RawZip& zip) {
            zip.entries[2].local_size = 0xFFFFFFFF;
            zip.entries[2].local_extra = past;
          }),
      bad(16, "zip64_size_missing", "E0320", {"lacks its zip64 sizes"},
          [](RawZip& zip) { zip.entries[2].central_size = 0xFFFFFFFF; }),
      bad(16, "zip64_field_twice", "E0320", {"two zip64 fields"},
          [&](RawZip& zip) { zip.entries[2].central_extra = past + past; }),
      bad(16, "zip64_end_elsewhere", "E0320", {"locator"},
          [](RawZip& zip) { zip.zip64 = zip64_end(4, 1, 1, 7); }),
      bad(16, "zip64_end_disagrees", "E0320", {"disagree"},
          [](RawZip& zip) { zip.zip64 = zip64_end(5, 1, 1, zip.bytes().size() - 22); }),
      bad(16, "zip64_count_2_to_60", "E0320", {"too small"},
          [](RawZip& zip) {
            const std::uint64_t at = zip.bytes().size() - 22;
            zip.count = 0xFFFF;
            std::uint64_t body = 0;
            for (const RawEntry& entry : zip.entries) body += 30 + entry.name.size() + entry.data.size();
            zip.zip64 = zip64_end(1ULL << 60U, at - body, body, at);
          }),
      bad(16, "extra_field_too_long", "E0320", {"ends too early"},
          [](RawZip& zip) { zip.entries[2].central_extra = little(7, 2) + little(100, 2) + "x"; }),
  };
}

}  // namespace

std::vector<BadFile> bad_zips() {
  std::vector<BadFile> all;
  for (const auto& part : {bad_structures(), bad_methods(), bad_names(), bad_zip64()})
    all.insert(all.end(), part.begin(), part.end());
  all.push_back(bad(15, "flipped_weight_bit", "E0323", {"\"data/0\"", "checksum"},
                    [](RawZip& zip) { zip.entries[2].crc = 0x12345678; }));
  all.push_back(
      bad(15, "flipped_pickle_bit", "E0323", {"\"data.pkl\""}, [](RawZip& zip) { zip.entries[0].crc = 1; }));
  return all;
}

}  // namespace pollard::bad_files
