// SPDX-License-Identifier: Apache-2.0
#include "models/stored_checkpoint.h"

#include <ATen/ops/empty.h>

#include "graph/error.h"
#include "models/io/bytes.h"
#include "models/io/checkpoint.h"
#include "models/io/shards.h"
#include "models/io/stored_program.h"
#include "models/registry.h"

namespace pollard::models {
namespace {

void open_files(StoredCheckpoint& out, const std::filesystem::path& path, io::TextMap& metadata) {
  const std::filesystem::path file = io::model_file(path);
  const auto source = io::open_file(file);
  switch (io::detect_format(*source)) {
    case io::FileFormat::ShardIndex: {
      io::Shards shards = io::open_shards(file, false);
      out.index = file;
      out.files = std::move(shards.files);
      metadata = std::move(shards.metadata);
      break;
    }
    case io::FileFormat::Safetensors:
      out.files.emplace_back(source);
      metadata = out.files.front().metadata();
      break;
    default:
      throw UserError({.code = "E0460",
                       .exit = Exit::Unsupported,
                       .subject = path.string(),
                       .message = "only safetensors files can stay on disk while they are pruned",
                       .help = "save the weights as .safetensors, or leave out --stream"});
  }
  for (const io::SafetensorsReader& reader : out.files)
    out.names.push_back(std::filesystem::path(reader.source().name()).filename().string());
}

kernels::Weights without_data(const std::vector<io::SafetensorsReader>& files) {
  kernels::Weights out;
  for (const io::SafetensorsReader& reader : files)
    for (const io::TensorInfo& info : reader.tensors())
      out[info.name] = at::empty(
          info.shape, at::TensorOptions().dtype(kernels::to_scalar_type(info.dtype)).device(at::kMeta));
  return out;
}

}  // namespace

std::uint64_t StoredCheckpoint::bytes() const {
  std::uint64_t sum = 0;
  for (const io::SafetensorsReader& reader : files) sum += reader.source().size();
  return sum;
}

std::string StoredCheckpoint::sha256(const std::vector<std::string>& file_digests) const {
  if (!sharded()) return file_digests.front();
  std::string digests = io::sha256(*io::open_file(index));
  for (const std::string& digest : file_digests) digests += digest;
  return io::sha256(io::as_bytes(digests));
}

StoredCheckpoint open_stored(const std::filesystem::path& path, const LoadOptions& options) {
  StoredCheckpoint out;
  io::TextMap metadata;
  open_files(out, path, metadata);
  const auto stored = metadata.find(io::kStoredProgram);
  if (stored != metadata.end() && options.family.empty() && options.spec_json.empty())
    out.model = io::read_stored_program(stored->second, without_data(out.files), path.filename().string());
  else
    out.model = load_family(without_data(out.files), with_metadata(options, metadata), config_beside(path));
  out.model.format = out.sharded() ? "safetensors shards" : "safetensors";
  out.model.metadata = std::move(metadata);
  out.model.metadata.erase(io::kStoredProgram);
  return out;
}

}  // namespace pollard::models
