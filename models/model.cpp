// SPDX-License-Identifier: Apache-2.0
#include "models/model.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "graph/error.h"
#include "models/io/atomic_file.h"
#include "models/io/checkpoint.h"
#include "models/io/file.h"
#include "models/io/pt2_reader.h"
#include "models/io/pt2_writer.h"
#include "models/io/safetensors.h"
#include "models/io/stored_program.h"
#include "models/io/torchscript_writer.h"
#include "models/onnx/export.h"
#include "models/registry.h"
#include "models/settle_sizes.h"

namespace pollard::models {
namespace {

namespace fs = std::filesystem;

Model load_export(std::shared_ptr<const io::ByteSource> source, const LoadOptions& options) {
  Model model = io::read_pt2(io::ZipReader(source, {.check_crc = options.check_crc}));
  settle_data_dependent_sizes(model);
  model.sha256 = io::sha256(*source);
  return model;
}

/// What the file says of itself beside its tensors.
Model finish(Model model, io::Checkpoint file) {
  model.format = std::move(file.format);
  model.metadata = std::move(file.metadata);
  model.metadata.erase(io::kStoredProgram);
  model.sha256 = std::move(file.sha256);
  return model;
}

Model load_checkpoint(const fs::path& path, const LoadOptions& options) {
  io::Checkpoint file = io::read_checkpoint(path, {.key = options.key, .check_crc = options.check_crc});
  const auto stored = file.metadata.find(io::kStoredProgram);
  if (stored != file.metadata.end() && options.family.empty() && options.spec_json.empty()) {
    Model model = io::read_stored_program(stored->second, std::move(file.tensors), path.filename().string());
    return finish(std::move(model), std::move(file));
  }
  const LoadOptions chosen = with_metadata(options, file.metadata);
  Model model = load_family(std::move(file.tensors), chosen, config_beside(path));
  return finish(std::move(model), std::move(file));
}

/// The state dict under its own names, and what else the program reads under a prefix.
io::TensorMap tensors_of(const Model& model) {
  io::TensorMap tensors = model.weights;
  for (const graph::Input& input : model.program.inputs)
    if (input.kind == graph::Input::Kind::Constant ||
        (input.kind == graph::Input::Kind::Buffer && !input.persistent))
      if (auto node = tensors.extract(input.source)) {
        node.key() = io::kStoredConstant + input.source;
        tensors.insert(std::move(node));
      }
  return tensors;
}

io::TextMap metadata_of(const Model& model) {
  io::TextMap metadata = model.metadata;
  metadata[io::kStoredProgram] = io::stored_program(model.program);
  if (!model.family.empty()) metadata["pollard.family"] = model.family;
  if (!model.spec_json.empty()) metadata["pollard.spec"] = model.spec_json;
  return metadata;
}

}  // namespace

std::string config_beside(const fs::path& path) {
  std::error_code error;
  const fs::path config = (fs::is_directory(path, error) ? path : path.parent_path()) / "config.json";
  if (!fs::is_regular_file(config, error)) return {};
  const auto bytes = io::read_file(config, std::uint64_t{1} << 20);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

LoadOptions with_metadata(LoadOptions options, const std::map<std::string, std::string>& metadata) {
  const auto fill = [&](std::string& option, const char* key) {
    if (const auto found = metadata.find(key); option.empty() && found != metadata.end())
      option = found->second;
  };
  fill(options.family, "pollard.family");
  fill(options.spec_json, "pollard.spec");
  return options;
}

Model load(const fs::path& path, const LoadOptions& options) {
  std::error_code error;
  if (!fs::is_directory(path, error))
    if (auto source = io::open_file(path); io::detect_format(*source) == io::FileFormat::TorchExport)
      return load_export(std::move(source), options);
  return load_checkpoint(path, options);
}

void check_save_path(const fs::path& path, const std::vector<fs::path>& inputs, bool force) {
  io::check_output_path(path, inputs, force);
  static constexpr std::array<std::string_view, 4> kFormats{".pt2", ".safetensors", ".onnx", ".ts"};
  if (std::ranges::find(kFormats, path.extension().string()) == kFormats.end())
    throw UserError({.code = "E0226",
                     .exit = Exit::Usage,
                     .subject = path.string(),
                     .message = "the output's extension says no known format",
                     .help = "end it in .pt2, .safetensors, .onnx or .ts"});
}

void save(const Model& model, const fs::path& path, const SaveOptions& options) {
  check_save_path(path, {}, options.force);
  if (path.extension() == ".pt2")
    io::save_pt2(model, path, options.force);
  else if (path.extension() == ".onnx")
    onnx::export_onnx(model, path, {.force = options.force});
  else if (path.extension() == ".ts")
    io::save_torchscript(model, path, options.force);
  else
    io::save_safetensors(path, tensors_of(model), metadata_of(model), options.force);
}

}  // namespace pollard::models
