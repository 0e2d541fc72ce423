// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "models/io/pickle.h"
#include "models/io/zip_reader.h"

namespace pollard::models::io {

/// A zip file written by torch.save: the description of what was saved, and its tensors on demand. Also the
/// "data/sample_inputs/model.pt" inside a .pt2: TorchArchive(zip.open(zip.require(...))).
///
/// Throws, beside what ZipReader and pickle::parse throw: E0335 (unknown byte order), E0336 (TorchScript).
class TorchArchive {
 public:
  explicit TorchArchive(std::shared_ptr<const ByteSource> source, ZipReader::Options options = {});

  const pickle::Tree& tree() const { return tree_; }
  const ZipReader& zip() const { return zip_; }

  /// A tensor by the name it has in messages.
  using Named = std::pair<std::string, const pickle::TensorRef*>;

  /// Checks descriptions against the archive without reading data: every storage is there with exactly the
  /// bytes declared (E0301, E0334), every tensor lies inside its storage and covers no element twice (E0333),
  /// and no storage has two element types (E0334).
  void check(const std::vector<Named>& tensors) const;

  /// check(), then the tensors in the order given. Each storage is read once, in parallel; tensors of one
  /// storage share it, as they did when they were saved.
  std::vector<at::Tensor> read(const std::vector<Named>& tensors) const;
  at::Tensor read(const pickle::TensorRef& tensor, const std::string& name) const;

 private:
  const ZipEntry& storage_entry(const pickle::TensorRef& tensor, const std::string& name) const;
  at::Tensor read_storage(const ZipEntry& entry, graph::DType dtype) const;

  ZipReader zip_;
  pickle::Tree tree_;
  bool swap_bytes_ = false;
};

}  // namespace pollard::models::io
