// SPDX-License-Identifier: Apache-2.0
#include "models/io/shards.h"

#include <algorithm>
#include <set>
#include <utility>

#include "graph/error.h"
#include "models/io/bytes.h"
#include "models/io/json.h"
#include "models/io/text.h"
#include "models/io/zip_names.h"

namespace pollard::models::io {
namespace {

constexpr std::uint64_t kLargestIndex = std::uint64_t{64} << 20;

[[noreturn]] void reject(const std::filesystem::path& index, std::string message, std::string where) {
  throw UserError({.code = "E0340",
                   .exit = Exit::BadFile,
                   .subject = printable(index.string()),
                   .message = std::move(message),
                   .where = std::move(where),
                   .help = "download the index and all its shards again"});
}

/// tensor name -> file name, all file names harmless.
std::map<std::string, std::string> read_weight_map(const std::filesystem::path& index) {
  const auto bytes = read_file(index, kLargestIndex);
  const nlohmann::json json = parse_json(as_text(bytes), printable(index.string()), 8);
  const auto map = json.is_object() ? json.find("weight_map") : json.end();
  if (!json.is_object() || map == json.end() || !map->is_object())
    reject(index, "has no \"weight_map\" of tensor names to files", "byte offset 0");
  std::map<std::string, std::string> out;
  for (const auto& [name, file] : map->items()) {
    const std::string text = file.is_string() ? file.get<std::string>() : "";
    const bool harmless =
        is_entry_name(text) && text.find('/') == std::string::npos && text.ends_with(".safetensors");
    if (!harmless)
      reject(index,
             "tensor " + in_quotes(name) + " is said to be in " + in_quotes(text) +
                 ", which is not the name of a safetensors file of the same folder",
             "weight_map");
    out.emplace(name, text);
  }
  return out;
}

}  // namespace

Shards open_shards(const std::filesystem::path& index, bool lenient) {
  const auto weight_map = read_weight_map(index);
  std::set<std::string> files;
  for (const auto& [name, file] : weight_map) files.insert(file);
  Shards shards;
  std::size_t found = 0;
  for (const std::string& file : files) {
    shards.files.emplace_back(open_file(index.parent_path() / file), lenient);
    const SafetensorsReader& reader = shards.files.back();
    if (shards.metadata.empty()) shards.metadata = reader.metadata();
    for (const TensorInfo& tensor : reader.tensors()) {
      const auto expected = weight_map.find(tensor.name);
      if (expected == weight_map.end() || expected->second != file)
        reject(index,
               "tensor " + in_quotes(tensor.name) + " is in " + file + " but the index does not say so",
               file);
      ++found;
    }
  }
  if (found == weight_map.size()) return shards;
  for (const auto& [name, file] : weight_map)
    for (const SafetensorsReader& reader : shards.files) {
      const auto& tensors = reader.tensors();
      const bool here =
          std::any_of(tensors.begin(), tensors.end(), [&](const auto& t) { return t.name == name; });
      if (!here && reader.source().name().ends_with(file))
        reject(index, "tensor " + in_quotes(name) + " is missing from its shard", file);
    }
  reject(index, "index and shards disagree", "weight_map");
}

}  // namespace pollard::models::io
