// SPDX-License-Identifier: Apache-2.0
#include "tests/bad_files/builders.h"

#include <bit>

#include "models/io/bytes.h"
#include "models/io/crc32.h"

namespace pollard::bad_files {
namespace {

std::uint32_t crc_of(const RawEntry& entry) {
  return entry.crc.value_or(models::io::crc32(models::io::as_bytes(entry.data)));
}

std::string local_record(const RawEntry& entry) {
  const std::string name = entry.local_name.value_or(entry.name);
  return "PK\x03\x04" + little(20, 2) + little(entry.flags, 2) +
         little(entry.local_method.value_or(entry.method), 2) + little(0, 4) + little(crc_of(entry), 4) +
         little(entry.data.size(), 4) +
         little(entry.local_size.value_or(static_cast<std::uint32_t>(entry.data.size())), 4) +
         little(name.size(), 2) + little(entry.local_extra.size(), 2) + name + entry.local_extra +
         entry.data + entry.tail;
}

std::string central_record(const RawEntry& entry, std::uint64_t offset) {
  const std::uint64_t size = entry.central_size.value_or(static_cast<std::uint32_t>(entry.data.size()));
  return "PK\x01\x02" + little(20, 2) + little(20, 2) + little(entry.flags, 2) + little(entry.method, 2) +
         little(0, 4) + little(crc_of(entry), 4) + little(size, 4) + little(size, 4) +
         little(entry.name.size(), 2) + little(entry.central_extra.size(), 2) + little(0, 2) + little(0, 2) +
         little(0, 2) + little(0, 4) +
         little(entry.central_offset.value_or(static_cast<std::uint32_t>(offset)), 4) + entry.name +
         entry.central_extra;
}

}  // namespace

std::string little(std::uint64_t value, int width) {
  std::string out;
  for (int i = 0; i < width; ++i) out += static_cast<char>(value >> (8 * i));
  return out;
}

std::string safetensors(std::string_view header, std::string_view data) {
  return little(header.size(), 8) + std::string(header) + std::string(data);
}

std::string RawZip::bytes() const {
  std::string body;
  std::string directory;
  for (const RawEntry& entry : entries) {
    directory += central_record(entry, body.size());
    body += local_record(entry);
  }
  body += between;
  const std::uint64_t records = count.value_or(static_cast<std::uint16_t>(entries.size()));
  const std::string end =
      "PK\x05\x06" + little(0, 4) + little(records, 2) + little(records, 2) + little(directory.size(), 4) +
      little(directory_offset.value_or(static_cast<std::uint32_t>(body.size())), 4) + little(0, 2);
  std::string out = before + body + directory + zip64;
  for (int i = 0; i < end_records; ++i) out += end;
  return out + after;
}

Pickle& Pickle::raw(std::string_view bytes) {
  bytes_ += bytes;
  return *this;
}

Pickle& Pickle::global(std::string_view module, std::string_view name) {
  return raw("c").raw(module).raw("\n").raw(name).raw("\n");
}

Pickle& Pickle::text(std::string_view value) { return raw("X").raw(little(value.size(), 4)).raw(value); }

Pickle& Pickle::integer(std::int64_t value) {
  return raw("\x8a\x08").raw(little(static_cast<std::uint64_t>(value), 8));
}

Pickle& Pickle::tuple(const std::vector<std::int64_t>& values) {
  raw("(");
  for (const std::int64_t value : values) integer(value);
  return raw("t");
}

void add_tensor(Pickle& pickle, const RawTensor& tensor) {
  pickle.global("torch._utils", "_rebuild_tensor_v2").raw("((").text("storage");
  pickle.global("torch", tensor.storage_type)
      .text(tensor.key)
      .text("cpu")
      .integer(tensor.storage_elements)
      .raw("tQ");
  pickle.integer(tensor.offset).tuple(tensor.shape).tuple(tensor.stride).raw("\x89");
  pickle.global("collections", "OrderedDict").raw(")RtR");
}

std::string state_dict(const std::vector<RawTensor>& tensors) {
  Pickle pickle;
  pickle.global("collections", "OrderedDict").raw(")R(");
  for (const RawTensor& tensor : tensors) {
    pickle.text(tensor.name);
    add_tensor(pickle, tensor);
  }
  return pickle.raw("u.").bytes();
}

RawZip torch_zip(std::string pickle, const std::map<std::string, std::string>& storages) {
  RawZip zip;
  zip.entries.push_back({.name = "archive/data.pkl", .data = std::move(pickle)});
  zip.entries.push_back({.name = "archive/byteorder", .data = "little"});
  for (const auto& [key, data] : storages)
    zip.entries.push_back({.name = "archive/data/" + key, .data = data});
  zip.entries.push_back({.name = "archive/version", .data = "3\n"});
  return zip;
}

std::string floats(int count) {
  std::string out;
  for (int i = 0; i < count; ++i) out += little(std::bit_cast<std::uint32_t>(static_cast<float>(i)), 4);
  return out;
}

}  // namespace pollard::bad_files
