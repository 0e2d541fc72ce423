// SPDX-License-Identifier: Apache-2.0
#include "models/io/checkpoint.h"

#include <algorithm>
#include <future>
#include <utility>

#include "graph/error.h"
#include "models/io/bytes.h"
#include "models/io/convert_help.h"
#include "models/io/memory.h"
#include "models/io/safetensors.h"
#include "models/io/shards.h"
#include "models/io/state_dict.h"
#include "models/io/text.h"
#include "models/io/torch_archive.h"

namespace pollard::models::io {
namespace {

constexpr const char* kSafetensors = "safetensors";
constexpr const char* kShards = "safetensors shards";
constexpr const char* kTorchZip = "pytorch zip";

[[noreturn]] void refuse_export(const ByteSource& source) {
  throw UserError({.code = "E0336",
                   .exit = Exit::BadFile,
                   .subject = source.name(),
                   .message = "a torch.export archive where a state dict was expected",
                   .help = "give the .pt2 itself as the model"});
}

/// The digest runs beside the reading: both go at the speed of the slower.
std::future<std::string> hash_beside(const std::shared_ptr<const ByteSource>& source, bool wanted) {
  return std::async(wanted ? std::launch::async : std::launch::deferred,
                    [source, wanted] { return wanted ? sha256(*source) : std::string(); });
}

Checkpoint read_safetensors(const std::shared_ptr<const ByteSource>& source,
                            const CheckpointOptions& options) {
  const SafetensorsReader reader(source, options.lenient);
  require_memory(source->size(), source->name());
  auto digest = hash_beside(source, options.hash);
  Checkpoint out{.tensors = reader.read_all(), .metadata = reader.metadata(), .format = kSafetensors};
  out.sha256 = digest.get();
  return out;
}

Checkpoint read_torch_zip(const std::shared_ptr<const ByteSource>& source, const CheckpointOptions& options) {
  const TorchArchive archive(source, {.check_crc = options.check_crc});
  StateDict state = find_state_dict(archive, options.key);
  archive.check(state.tensors);
  require_memory(source->size(), source->name());
  auto digest = hash_beside(source, options.hash);
  std::vector<at::Tensor> tensors = archive.read(state.tensors);
  Checkpoint out{.format = kTorchZip, .ignored = std::move(state.ignored)};
  for (std::size_t i = 0; i < tensors.size(); ++i)
    out.tensors.emplace(state.tensors[i].first, std::move(tensors[i]));
  out.sha256 = digest.get();
  return out;
}

Checkpoint read_shards(const std::filesystem::path& index, const CheckpointOptions& options) {
  const Shards shards = open_shards(index, options.lenient);
  std::uint64_t bytes = 0;
  for (const SafetensorsReader& reader : shards.files) bytes += reader.source().size();
  require_memory(bytes, printable(index.string()), "prune it from disk to disk: pollard prune --stream");
  Checkpoint out{.metadata = shards.metadata, .format = kShards};
  std::string digests = options.hash ? sha256(*open_file(index)) : "";
  for (const SafetensorsReader& reader : shards.files) {
    if (options.hash) digests += sha256(reader.source());
    out.tensors.merge(reader.read_all());
  }
  if (options.hash) out.sha256 = sha256(as_bytes(digests));
  return out;
}

void add(CheckpointInfo& info, const SafetensorsReader& reader) {
  info.tensors.insert(info.tensors.end(), reader.tensors().begin(), reader.tensors().end());
  info.bytes += reader.source().size();
}

CheckpointInfo describe_torch_zip(const std::shared_ptr<const ByteSource>& source,
                                  const CheckpointOptions& options) {
  const TorchArchive archive(source, {.check_crc = options.check_crc});
  StateDict state = find_state_dict(archive, options.key);
  archive.check(state.tensors);
  CheckpointInfo info{
      .format = kTorchZip, .key = state.key, .ignored = std::move(state.ignored), .bytes = source->size()};
  for (const auto& [name, tensor] : state.tensors) {
    auto bytes = static_cast<std::uint64_t>(graph::dtype_size(tensor->dtype));
    for (const std::int64_t dim : tensor->shape) bytes *= static_cast<std::uint64_t>(dim);
    info.tensors.push_back({.name = name, .dtype = tensor->dtype, .shape = tensor->shape, .bytes = bytes});
  }
  return info;
}

bool is_export(const ZipReader& zip) { return zip.find("archive_format") != nullptr; }

/// torch.save before 1.6 writes the number 0x1950a86a20f9469cfc6c first, as a pickle of its own.
bool is_legacy_pickle(std::string_view head) {
  return head.starts_with("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19");
}

}  // namespace

std::filesystem::path model_file(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::is_directory(path, error)) return path;
  for (const char* name : {"model.safetensors.index.json", "model.safetensors"})
    if (std::filesystem::is_regular_file(path / name, error)) return path / name;
  return path;
}

FileFormat detect_format(const ByteSource& source) {
  const auto head = source.read(0, std::min<std::uint64_t>(source.size(), 512));
  if (is_zip(head))
    return is_export(ZipReader(std::shared_ptr<const ByteSource>(&source, [](auto*) {})))
               ? FileFormat::TorchExport
               : FileFormat::TorchZip;
  const std::string_view text = as_text(head);
  if (is_legacy_pickle(text) || text.starts_with("\x80\x02"))
    refuse_format(OldFormat::Legacy, source.name(), "byte offset 0");
  if (text.size() > 262 && text.substr(257, 5) == "ustar")
    refuse_format(OldFormat::Tar, source.name(), "byte offset 257");
  if (text.size() > 2 && text[0] == '\x80' && text[1] >= 3 && text[1] <= 5)
    refuse_protocol(source.name(), "(none)", text[1]);
  if (text.starts_with("{") && text.find("\"weight_map\"") != std::string_view::npos)
    return FileFormat::ShardIndex;
  if (text.starts_with("{") && source.name().ends_with(".index.json")) return FileFormat::ShardIndex;
  // A file whose first bytes are no header length is something else; the rest the safetensors reader judges
  // best.
  if (!plausible_safetensors(head) && recognise(head).looks_like != "unknown binary data")
    reject_unrecognised(source, "a model file (safetensors, PyTorch zip or .pt2)");
  return FileFormat::Safetensors;
}

Checkpoint read_checkpoint(const std::shared_ptr<const ByteSource>& source,
                           const CheckpointOptions& options) {
  switch (detect_format(*source)) {
    case FileFormat::Safetensors: return read_safetensors(source, options);
    case FileFormat::TorchZip: return read_torch_zip(source, options);
    case FileFormat::ShardIndex: reject_unrecognised(*source, "a file that holds its own tensors");
    case FileFormat::TorchExport: break;
  }
  refuse_export(*source);
}

Checkpoint read_checkpoint(const std::filesystem::path& path, const CheckpointOptions& options) {
  const std::filesystem::path file = model_file(path);
  const auto source = open_file(file);
  return detect_format(*source) == FileFormat::ShardIndex ? read_shards(file, options)
                                                          : read_checkpoint(source, options);
}

CheckpointInfo describe_checkpoint(const std::filesystem::path& path, const CheckpointOptions& options) {
  const std::filesystem::path file = model_file(path);
  const auto source = open_file(file);
  const FileFormat format = detect_format(*source);
  if (format == FileFormat::TorchExport) refuse_export(*source);
  CheckpointInfo info;
  if (format == FileFormat::TorchZip) {
    info = describe_torch_zip(source, options);
  } else if (format == FileFormat::ShardIndex) {
    const Shards shards = open_shards(file, options.lenient);
    info = {.format = kShards, .metadata = shards.metadata, .bytes = source->size()};
    for (const SafetensorsReader& reader : shards.files) add(info, reader);
  } else {
    const SafetensorsReader reader(source, options.lenient);
    info = {.format = kSafetensors, .metadata = reader.metadata()};
    add(info, reader);
  }
  std::sort(info.tensors.begin(), info.tensors.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  return info;
}

}  // namespace pollard::models::io
