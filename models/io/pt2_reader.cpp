// SPDX-License-Identifier: Apache-2.0
#include "models/io/pt2_reader.h"

#include "models/io/json_reader.h"
#include "models/io/memory.h"
#include "models/io/pt2_graph_reader.h"
#include "models/io/pt2_sample_inputs.h"
#include "models/io/pt2_schema.h"
#include "models/io/pt2_weights.h"
#include "models/io/tensor_memory.h"
#include "models/io/text.h"

namespace pollard::models::io {
namespace {

constexpr std::string_view kModels = "models/";
constexpr std::string_view kJson = ".json";

std::vector<std::string> model_names(const ZipReader& archive) {
  std::vector<std::string> names;
  for (const ZipEntry& entry : archive.entries())
    if (entry.name.starts_with(kModels) && entry.name.ends_with(kJson) &&
        entry.name.find('/', kModels.size()) == std::string::npos)
      names.push_back(entry.name.substr(kModels.size(), entry.name.size() - kModels.size() - kJson.size()));
  return names;
}

std::string choose_model(const ZipReader& archive) {
  const std::vector<std::string> names = model_names(archive);
  const JsonReader reader(archive.name(), "models/");
  if (archive.find("serialized_exported_program.json"))
    reader.unsupported(
        "an exported program in the format of torch 2.6 and older",
        "python -c \"import torch; torch.export.save(torch.export.load('m.pt2'), 'new.pt2')\"");
  if (names.empty()) reader.fail("the archive holds no exported program");
  if (names.size() > 1)
    reader.unsupported("the archive holds several models: " + join_or(names), "save one per file");
  return names.front();
}

void check_byte_order(const ZipReader& archive) {
  const ZipEntry* entry = archive.find("byteorder");
  if (!entry || archive.read_text(*entry) == "little") return;
  JsonReader(archive.name(), "byteorder")
      .unsupported("the weights are not little-endian", "load and save it again on a little-endian machine");
}

graph::Program read_graph(const ZipReader& archive, const std::string& entry) {
  const Json json = parse_entry(archive.read_text(archive.require(entry)), archive.name(), entry);
  JsonReader reader(archive.name(), entry);
  return pt2::GraphReader(reader, json).read();
}

}  // namespace

bool is_pt2(const ZipReader& archive) {
  if (const ZipEntry* format = archive.find("archive_format"))
    if (format->size == 3 && archive.read_text(*format) == "pt2") return true;
  return !model_names(archive).empty();
}

Model read_pt2(const ZipReader& archive) {
  check_byte_order(archive);
  const std::string name = choose_model(archive);
  Model model{.program = read_graph(archive, std::string(kModels) + name + std::string(kJson)),
              .format = "pt2"};
  give_back_free_memory();  // the parsed text is several times the graph's size; the weights come next
  require_memory(archive.source().size(), archive.name());
  model.weights = pt2::read_weights(archive, name, model.program);
  model.sample_inputs = pt2::read_sample_inputs(archive, name, model.program);
  for (const ZipEntry& extra : archive.entries())
    if (extra.name.starts_with(pt2::kExtraDir) && extra.size < (std::uint64_t{64} << 20))
      model.metadata[extra.name.substr(pt2::kExtraDir.size())] = archive.read_text(extra);
  graph::check(model.program);
  return model;
}

}  // namespace pollard::models::io
