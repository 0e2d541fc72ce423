// SPDX-License-Identifier: Apache-2.0
#include <iterator>
#include <utility>

#include "models/io/bytes.h"
#include "models/io/crc32.h"
#include "tests/bad_files/builders.h"
#include "tests/bad_files/make_bad_files.h"

namespace pollard::bad_files {
namespace {

using namespace std::string_literals;

BadFile bad(int row, std::string name, const std::vector<RawTensor>& tensors,
            const std::map<std::string, std::string>& storages, std::string code,
            std::vector<std::string> says) {
  return {.row = row,
          .name = std::move(name) + ".pt",
          .bytes = torch_zip(state_dict(tensors), storages).bytes(),
          .code = std::move(code),
          .says = std::move(says)};
}

std::vector<BadFile> bad_storages() {
  const std::map<std::string, std::string> six{{"0", floats(6)}};
  constexpr std::int64_t kHuge = std::int64_t{1} << 40;
  return {
      bad(20, "storage_shorter", {{}}, {{"0", floats(1)}}, "E0301",
          {"storage \"data/0\" holds 4 bytes, tensor \"weight\" needs 24", "zip entry data/0, byte offset"}),
      bad(20, "storage_longer", {{}}, {{"0", floats(7)}}, "E0301", {"holds 28 bytes", "needs 24"}),
      bad(20, "shape_past_storage", {{.shape = {2, 4}, .stride = {4, 1}}}, six, "E0333",
          {"[2, 4]", "reaches past"}),
      bad(20, "offset_past_storage", {{.offset = 1}}, six, "E0333", {"offset 1", "6 elements"}),
      bad(20, "stride_past_storage", {{.stride = {4, 1}}}, six, "E0333", {"reaches past"}),
      bad(20, "extent_overflows", {{.shape = {kHuge, kHuge}, .stride = {kHuge, kHuge}}}, six, "E0333",
          {"reaches past"}),
      bad(20, "negative_stride", {{.stride = {-3, 1}}}, six, "E0330", {"stride", "-3"}),
      bad(20, "negative_size", {{.shape = {-2, 3}}}, six, "E0330", {"size", "-2"}),
      bad(20, "negative_offset", {{.offset = -1}}, six, "E0330", {"offset of -1"}),
      bad(20, "negative_storage", {{.storage_elements = -6}}, six, "E0330", {"-6 elements"}),
      bad(20, "overlapping_stride", {{.stride = {1, 1}}}, six, "E0333", {"uses an element twice"}),
      bad(20, "zero_stride", {{.stride = {0, 1}}}, six, "E0333", {"uses an element twice", "clone"}),
      bad(20, "rank_of_stride_differs", {{.stride = {1}}}, six, "E0330", {"differ in rank"}),
      bad(20, "rank_17",
          {{.shape = std::vector<std::int64_t>(17, 1), .stride = std::vector<std::int64_t>(17, 1)}}, six,
          "E0330", {"rank 17"}),
      bad(21, "storage_missing", {{.key = "9"}}, six, "E0334", {"\"data/9\"", "missing", "\"weight\""}),
      bad(21, "storage_key_is_path", {{.key = "../../etc/passwd"}}, six, "E0334", {"missing"}),
      bad(21, "storage_of_two_types", {{}, {.name = "bias", .storage_type = "IntStorage"}}, six, "E0334",
          {"f32", "i32", "\"weight\"", "\"bias\""}),
      bad(21, "same_name_twice", {{}, {}}, six, "E0330", {"\"weight\" twice"}),
  };
}

std::vector<BadFile> bad_byte_orders() {
  RawZip zip = torch_zip(state_dict({{}}), {{"0", floats(6)}});
  zip.entries[1].data = "middle";
  return {{.row = 22,
           .name = "unknown_byte_order.pt",
           .bytes = zip.bytes(),
           .code = "E0335",
           .says = {"\"middle\""}}};
}

std::string whole_module() {
  return Pickle().global("torch.nn.modules.linear", "Linear").raw(")\x81}b.").bytes();
}

std::vector<BadFile> old_formats() {
  const std::string legacy = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03."s;
  std::string tar(512, '\0');
  tar.replace(0, 4, "pickle").replace(257, 5, "ustar");
  RawZip script = torch_zip(state_dict({{}}), {{"0", floats(6)}});
  script.entries.push_back({
      .name = "archive/constants.pkl",
      .data = "\x80\x02).",
  });
  const std::string convert = "convert it: python3 -c \"import sys,torch;";
  RawZip exported;
  exported.entries.push_back({.name = "m/archive_format", .data = "pt2"});
  RawZip old_export;
  old_export.entries = {{.name = "serialized_exported_program.json", .data = "{}"},
                        {.name = "version", .data = "8.3"}};
  std::vector<BadFile> files{
      {.row = 23,
       .name = "old_export.pt2",
       .bytes = old_export.bytes(),
       .says = {"older PyTorch", "torch.export.save(torch.export.load("}},
      {.row = 23,
       .name = "legacy.pt",
       .bytes = legacy,
       .says = {"before version 1.6", convert, "weights_only=True"}},
      {.row = 23, .name = "tar.pt", .bytes = tar, .says = {"tar format", convert, "only if you trust"}},
      {.row = 23,
       .name = "script.pt",
       .bytes = script.bytes(),
       .says = {"TorchScript", convert, "torch.jit.load"}},
      {.row = 23,
       .name = "module.pt",
       .bytes = torch_zip(whole_module(), {}).bytes(),
       .says = {"whole pickled module", "torch.nn.modules.linear.Linear", ".state_dict()",
                "only if you trust"}},
      {.row = 23,
       .name = "protocol_4.pt",
       .bytes = torch_zip("\x80\x04\x95\x01\0\0\0\0\0\0\0N."s, {}).bytes(),
       .says = {"protocol 4", convert}},
      {.row = 23, .name = "bare_pickle.pt", .bytes = "\x80\x04N......."s, .says = {"protocol 4"}},
      {.row = 23, .name = "export.pt2", .bytes = exported.bytes(), .says = {"torch.export archive"}},
  };
  for (BadFile& file : files) file.code = "E0336";
  return files;
}

}  // namespace

std::vector<BadFile> bad_torch_files() {
  std::vector<BadFile> all;
  for (const auto& part : {bad_storages(), bad_byte_orders(), old_formats()})
    all.insert(all.end(), part.begin(), part.end());
  return all;
}

std::vector<BadFile> all_bad_files() {
  std::vector<BadFile> all;
  for (const auto& part : {bad_beginnings(), bad_safetensors(), bad_zips(), bad_pickles(), bad_torch_files()})
    all.insert(all.end(), part.begin(), part.end());
  return all;
}

namespace {

/// The headers PyTorch writes for an entry above 4 GiB: sizes zero or in zip64 fields, a wide descriptor
/// behind.
std::string with_wide_descriptor() {
  RawZip zip = torch_zip(state_dict({{}}), {{"0", floats(6)}});
  RawEntry& entry = zip.entries.front();
  const std::uint64_t size = entry.data.size();
  const std::uint32_t crc = models::io::crc32(models::io::as_bytes(entry.data));
  entry.flags = 0x0808;
  entry.local_size = 0;
  entry.local_extra = little(1, 2) + little(24, 2) + little(size, 8) + little(0, 8) + little(0, 8);
  entry.tail = "PK\x07\x08" + little(crc, 4) + little(size, 8) + little(size, 8);
  return zip.bytes();
}

}  // namespace

std::vector<GoodFile> good_files() {
  const std::string tensor = R"("a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]})";
  const std::string spare = R"("e":{"dtype":"F32","shape":[0,5],"data_offsets":[24,24]})";
  Pickle nested;
  nested.raw("}(")
      .text("epoch")
      .raw("K\x03")
      .text("args")
      .global("argparse", "Namespace")
      .raw(")\x81}(")
      .text("lr");
  nested.raw("G?\xb9\x99\x99\x99\x99\x99\x9aub").text("state_dict").raw("}").text("w");
  add_tensor(nested, {});
  nested.raw("su.");
  return {
      {"one.safetensors", safetensors("{" + tensor + "}  ", floats(6)), {"a"}},
      {"metadata.safetensors", safetensors(R"({"__metadata__":{"k":"v"},)" + tensor + "}", floats(6)), {"a"}},
      {"empty_tensor.safetensors", safetensors("{" + spare + "," + tensor + "}", floats(6)), {"a", "e"}},
      {"scalar.safetensors",
       safetensors(R"({"s":{"dtype":"F32","shape":[],"data_offsets":[0,4]}})", floats(1)),
       {"s"}},
      {"no_tensors.safetensors", safetensors("{}"), {}},
      {"only_metadata.safetensors", safetensors(R"({"__metadata__":{"a":"b"}})"), {}},
      {"path_as_name.safetensors",
       safetensors(R"({"../../etc/passwd":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", floats(1)),
       {"../../etc/passwd"}},
      {"one.pt", torch_zip(state_dict({{}}), {{"0", floats(6)}}).bytes(), {"weight"}},
      {"tied.pt",
       torch_zip(state_dict({{}, {.name = "tied"}}), {{"0", floats(6)}}).bytes(),
       {"tied", "weight"}},
      {"view.pt",
       torch_zip(state_dict({{.offset = 1, .shape = {2, 2}, .stride = {1, 2}}}), {{"0", floats(6)}}).bytes(),
       {"weight"}},
      {"wide_descriptor.pt", with_wide_descriptor(), {"weight"}},
      {"training.pt", torch_zip(nested.bytes(), {{"0", floats(6)}}).bytes(), {"w"}},
  };
}

}  // namespace pollard::bad_files
