// SPDX-License-Identifier: Apache-2.0
#include "models/io/safetensors.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "graph/error.h"
#include "kernels/executor.h"
#include "models/io/atomic_file.h"
#include "models/io/bytes.h"
#include "models/io/memory.h"
#include "models/io/parallel.h"
#include "models/io/read_stage.h"
#include "models/io/tensor_limits.h"
#include "models/io/tensor_memory.h"
#include "models/io/text.h"

namespace pollard::models::io {
namespace {

constexpr std::size_t kHeaderAlignment = 8;

struct Item {
  const std::string* name;
  const at::Tensor* tensor;
  graph::DType dtype;
};

graph::DType writable_dtype(const std::string& name, const at::Tensor& tensor) {
  const graph::DType dtype = kernels::from_scalar_type(tensor.scalar_type());
  if (!safetensors_name(dtype))
    throw UserError({.code = "E0421",
                     .exit = Exit::Unsupported,
                     .subject = in_quotes(name),
                     .message = "safetensors has no element type for " + std::string(graph::to_string(dtype)),
                     .why = "known are " + safetensors_dtype_list()});
  return dtype;
}

void check_name(const std::string& name) {
  const bool good = !name.empty() && name.size() <= kLongestName && name != "__metadata__" &&
                    !has_control_characters(name) && first_invalid_utf8(name) == std::string::npos;
  if (good) return;
  throw UserError({.code = "E0315",
                   .exit = Exit::BadFile,
                   .subject = in_quotes(name),
                   .message = "a safetensors file may not hold a tensor of this name"});
}

/// In file order: alignment descending, then name.
std::vector<Item> in_file_order(const TensorMap& tensors) {
  std::vector<Item> items;
  for (const auto& [name, tensor] : tensors) {
    check_name(name);
    items.push_back({&name, &tensor, writable_dtype(name, tensor)});
  }
  std::stable_sort(items.begin(), items.end(), [](const Item& a, const Item& b) {
    return safetensors_rank(a.dtype) > safetensors_rank(b.dtype);
  });
  return items;
}

std::string json_string(const std::string& text) { return nlohmann::json(text).dump(); }

/// Written by hand because the order of keys is part of the format's form: metadata first, then file order.
std::string header_json(const std::vector<TensorInfo>& tensors, const TextMap& metadata) {
  std::string json = "{";
  if (!metadata.empty()) {
    json += "\"__metadata__\":{";
    for (const auto& [key, value] : metadata)
      json += (json.back() == '{' ? "" : ",") + json_string(key) + ":" + json_string(value);
    json += "}";
  }
  std::uint64_t offset = 0;
  for (const TensorInfo& tensor : tensors) {
    const std::uint64_t end = offset + tensor.bytes;
    std::string shape;
    for (const std::int64_t dim : tensor.shape) shape += (shape.empty() ? "" : ",") + std::to_string(dim);
    json += (json.size() == 1 ? "" : ",") + json_string(tensor.name) + ":{\"dtype\":\"" +
            std::string(*safetensors_name(tensor.dtype)) + "\",\"shape\":[" + shape + "],\"data_offsets\":[" +
            std::to_string(offset) + "," + std::to_string(end) + "]}";
    offset = end;
  }
  json += "}";
  json.append((kHeaderAlignment - json.size() % kHeaderAlignment) % kHeaderAlignment, ' ');
  return json;
}

std::string head_of(const std::vector<Item>& items, const TextMap& metadata) {
  std::vector<TensorInfo> tensors;
  for (const Item& item : items)
    tensors.push_back({.name = *item.name,
                       .dtype = item.dtype,
                       .shape = item.tensor->sizes().vec(),
                       .bytes = item.tensor->nbytes()});
  return safetensors_head(tensors, metadata);
}

}  // namespace

SafetensorsReader::SafetensorsReader(std::shared_ptr<const ByteSource> source, bool lenient)
    : source_(std::move(source)), header_(read_safetensors_header(*source_, lenient)) {}

at::Tensor SafetensorsReader::read(const TensorInfo& info) const {
  at::Tensor tensor = new_tensor(info.shape, info.dtype);
  source_->read_at(info.offset, tensor_data(tensor));
  check_booleans(tensor, source_->name(), info.name);
  return tensor;
}

TensorMap SafetensorsReader::read_all() const {
  require_memory(source_->size(), source_->name());
  std::vector<at::Tensor> read_tensors(header_.tensors.size());
  {
    ReadStage stage(source_->size());
    parallel_for(read_tensors.size(), source_->size(), [&](std::size_t i) {
      read_tensors[i] = read(header_.tensors[i]);
      stage.add(header_.tensors[i].bytes);
    });
  }
  TensorMap out;
  for (std::size_t i = 0; i < read_tensors.size(); ++i)
    out.emplace(header_.tensors[i].name, std::move(read_tensors[i]));
  return out;
}

std::string safetensors_head(const std::vector<TensorInfo>& tensors, const TextMap& metadata) {
  const std::string json = header_json(tensors, metadata);
  std::string out;
  for (int i = 0; i < 8; ++i) out += static_cast<char>(json.size() >> (8 * i) & 255);
  return out + json;
}

void write_safetensors(Writer& out, const TensorMap& tensors, const TextMap& metadata) {
  const std::vector<Item> items = in_file_order(tensors);
  out.write(as_bytes(head_of(items, metadata)));
  for (const Item& item : items) out.write(tensor_data(item.tensor->cpu().contiguous()));
}

std::uint64_t safetensors_size(const TensorMap& tensors, const TextMap& metadata) {
  std::uint64_t bytes = head_of(in_file_order(tensors), metadata).size();
  for (const auto& [name, tensor] : tensors) bytes += tensor.nbytes();
  return bytes;
}

void save_safetensors(const std::filesystem::path& path, const TensorMap& tensors, const TextMap& metadata,
                      bool force) {
  AtomicFile file(path, {.force = force, .expected_size = safetensors_size(tensors, metadata)});
  write_safetensors(file, tensors, metadata);
  file.commit();
}

}  // namespace pollard::models::io
