// SPDX-License-Identifier: Apache-2.0
#include "models/io/torch_archive.h"

#include <ATen/ops/as_strided.h>

#include <algorithm>
#include <optional>
#include <span>

#include "graph/error.h"
#include "models/io/bytes.h"
#include "models/io/convert_help.h"
#include "models/io/parallel.h"
#include "models/io/read_stage.h"
#include "models/io/tensor_limits.h"
#include "models/io/tensor_memory.h"
#include "models/io/text.h"

namespace pollard::models::io {
namespace {

constexpr const char* kPickle = "data.pkl";
constexpr const char* kDownload = "compare its SHA-256 with the publisher's, or download it again";

constexpr const char* kDamage = "the file is damaged or was edited; nothing was loaded";

[[noreturn]] void reject(const ByteSource& source, std::string code, std::string message, std::string where,
                         std::string why = kDamage, std::string help = kDownload) {
  throw UserError({.code = std::move(code),
                   .exit = Exit::BadFile,
                   .subject = source.name(),
                   .message = std::move(message),
                   .where = std::move(where),
                   .why = std::move(why),
                   .help = std::move(help)});
}

std::string place(const ZipEntry& entry) {
  return "zip entry " + entry.name + ", byte offset " + std::to_string(entry.offset);
}

pickle::Tree read_tree(const ZipReader& zip) {
  // A pickle that outweighs the weights is no state dict; small files may be all pickle.
  constexpr std::uint64_t kAlwaysAllowed = std::uint64_t{4} << 20;
  if (zip.find("constants.pkl") != nullptr)
    refuse_format(OldFormat::TorchScript, zip.name(), "entry constants.pkl");
  const ZipEntry& entry = zip.require(kPickle);
  if (entry.size > kAlwaysAllowed && entry.size > zip.source().size() / 2)
    throw UserError({.code = "E0331",
                     .exit = Exit::BadFile,
                     .subject = zip.name(),
                     .message = "its description of " + human_bytes(static_cast<double>(entry.size)) +
                                " is larger than what it describes",
                     .where = place(entry),
                     .help = "save only the state dict"});
  return pickle::parse(zip.read(entry), zip.name(), kPickle);
}

bool is_big_endian(const ZipReader& zip) {
  const ZipEntry* entry = zip.find("byteorder");
  if (entry == nullptr) return false;
  const std::string order = entry->size <= 16 ? zip.read_text(*entry) : "";
  if (order == "little" || order == "big") return order == "big";
  reject(zip.source(), "E0335", "byte order " + in_quotes(order) + "; little or big was expected",
         place(*entry));
}

/// One past the last element of its storage a tensor touches; nullopt when the numbers overflow.
std::optional<std::int64_t> extent(const pickle::TensorRef& tensor) {
  std::optional<std::int64_t> last = tensor.offset;
  for (std::size_t d = 0; d < tensor.shape.size(); ++d) {
    if (tensor.shape[d] == 0) return 0;
    const auto step = checked_mul(tensor.shape[d] - 1, tensor.stride[d]);
    last = step && last ? checked_add(*last, *step) : std::nullopt;
  }
  return last ? checked_add(*last, 1) : std::nullopt;
}

/// Whether two indices reach the same element: sorted by stride, each dimension must step over all smaller
/// ones.
bool covers_twice(const pickle::TensorRef& tensor) {
  std::vector<std::pair<std::int64_t, std::int64_t>> dims;
  for (std::size_t d = 0; d < tensor.shape.size(); ++d) {
    if (tensor.shape[d] == 0) return false;
    if (tensor.shape[d] > 1) dims.emplace_back(tensor.stride[d], tensor.shape[d]);
  }
  std::sort(dims.begin(), dims.end());
  std::int64_t reach = 0;  // the largest distance the smaller dimensions span; extent() has bounded it
  for (const auto& [stride, size] : dims) {
    if (stride <= reach) return true;
    reach += (size - 1) * stride;
  }
  return false;
}

void check_layout(const ByteSource& source, const pickle::TensorRef& tensor, const std::string& name) {
  const std::string where = "entry data.pkl, byte offset " + std::to_string(tensor.position);
  const auto end = extent(tensor);
  const auto elements = static_cast<std::int64_t>(tensor.storage_bytes) / graph::dtype_size(tensor.dtype);
  if (!end || *end > elements)
    reject(source, "E0333",
           "tensor " + in_quotes(name) + " of shape " + shape_text(tensor.shape) + " at offset " +
               std::to_string(tensor.offset) + " reaches past its storage of " + std::to_string(elements) +
               " elements",
           where);
  if (covers_twice(tensor))
    reject(source, "E0333",
           "tensor " + in_quotes(name) + " of shape " + shape_text(tensor.shape) + " and strides " +
               shape_text(tensor.stride) + " uses an element twice",
           where,
           "an expanded tensor has fewer numbers than its shape says, so its units cannot be pruned apart",
           "save a copy of it: tensor.clone()");
}

/// Width of the numbers whose bytes turn around: a complex number is two of them.
std::size_t swap_width(graph::DType dtype) {
  const auto size = static_cast<std::size_t>(graph::dtype_size(dtype));
  const bool complex = dtype == graph::DType::Complex32 || dtype == graph::DType::Complex64 ||
                       dtype == graph::DType::Complex128;
  return complex ? size / 2 : size;
}

void reverse_each(std::span<std::byte> bytes, std::size_t width) {
  for (std::size_t at = 0; width > 1 && at + width <= bytes.size(); at += width)
    std::reverse(bytes.begin() + static_cast<std::ptrdiff_t>(at),
                 bytes.begin() + static_cast<std::ptrdiff_t>(at + width));
}

}  // namespace

TorchArchive::TorchArchive(std::shared_ptr<const ByteSource> source, ZipReader::Options options)
    : zip_(std::move(source), options), tree_(read_tree(zip_)), swap_bytes_(is_big_endian(zip_)) {}

const ZipEntry& TorchArchive::storage_entry(const pickle::TensorRef& tensor, const std::string& name) const {
  const ZipEntry* entry = zip_.find("data/" + tensor.storage);
  if (entry == nullptr)
    reject(zip_.source(), "E0334",
           "the storage " + in_quotes("data/" + tensor.storage) + " of tensor " + in_quotes(name) +
               " is missing",
           "entry data.pkl, byte offset " + std::to_string(tensor.position));
  if (entry->size != tensor.storage_bytes)
    reject(zip_.source(), "E0301",
           "storage " + in_quotes(entry->name) + " holds " + std::to_string(entry->size) + " bytes, tensor " +
               in_quotes(name) + " needs " + std::to_string(tensor.storage_bytes),
           place(*entry));
  if (entry->size % static_cast<std::uint64_t>(graph::dtype_size(tensor.dtype)) != 0)
    reject(zip_.source(), "E0301",
           "storage " + in_quotes(entry->name) + " holds " + std::to_string(entry->size) +
               " bytes, no whole number of " + std::string(to_string(tensor.dtype)) + " for tensor " +
               in_quotes(name),
           place(*entry));
  return *entry;
}

void TorchArchive::check(const std::vector<Named>& tensors) const {
  std::map<std::string, const Named*> first_use;
  for (const Named& named : tensors) {
    const auto& [name, tensor] = named;
    storage_entry(*tensor, name);
    check_layout(zip_.source(), *tensor, name);
    const Named& first = *first_use.emplace(tensor->storage, &named).first->second;
    if (first.second->dtype != tensor->dtype)
      reject(zip_.source(), "E0334",
             "storage " + in_quotes("data/" + tensor->storage) + " is " +
                 std::string(to_string(first.second->dtype)) + " for tensor " + in_quotes(first.first) +
                 " and " + std::string(to_string(tensor->dtype)) + " for tensor " + in_quotes(name),
             "entry data.pkl, byte offset " + std::to_string(tensor->position));
  }
}

at::Tensor TorchArchive::read_storage(const ZipEntry& entry, graph::DType dtype) const {
  at::Tensor storage = new_tensor({static_cast<std::int64_t>(entry.size) / graph::dtype_size(dtype)}, dtype);
  zip_.read_into(entry, tensor_data(storage));
  check_booleans(storage, zip_.name(), entry.name);
  if (swap_bytes_) reverse_each(tensor_data(storage), swap_width(dtype));
  return storage;
}

std::vector<at::Tensor> TorchArchive::read(const std::vector<Named>& tensors) const {
  check(tensors);
  std::map<std::string, std::pair<const pickle::TensorRef*, at::Tensor>> storages;
  for (const auto& [name, tensor] : tensors)
    storages.emplace(tensor->storage, std::pair(tensor, at::Tensor()));
  std::vector<std::pair<const pickle::TensorRef*, at::Tensor>*> todo;
  for (auto& [key, storage] : storages) todo.push_back(&storage);
  {
    ReadStage stage(zip_.source().size());
    parallel_for(todo.size(), zip_.source().size(), [&](std::size_t i) {
      auto& [tensor, memory] = *todo[i];
      memory = read_storage(zip_.require("data/" + tensor->storage), tensor->dtype);
      stage.add(memory.nbytes());
    });
  }
  std::vector<at::Tensor> out;
  for (const auto& [name, tensor] : tensors)
    out.push_back(
        at::as_strided(storages.at(tensor->storage).second, tensor->shape, tensor->stride, tensor->offset));
  return out;
}

at::Tensor TorchArchive::read(const pickle::TensorRef& tensor, const std::string& name) const {
  return read({{name, &tensor}}).front();
}

}  // namespace pollard::models::io
