// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <string>

#include "models/io/file.h"

namespace pollard::models::io {

/// The array of a .npy file: format 1 to 3, C or Fortran order, little-endian numbers (bool, integers, f2, f4, f8).
/// Unsigned integers above 8 bits become int64. Throws UserError E0396 for anything else, before it is allocated.
at::Tensor read_npy(std::span<const std::byte> bytes, const std::string& name);

/// The arrays of an .npz file by name, stored or deflated, as NumPy writes it. At most 4 GiB an array. Throws E0396.
std::map<std::string, at::Tensor> read_npz(const ByteSource& source);

/// An IDX file, gzipped or not (the format of MNIST): big-endian, unsigned bytes to doubles; dimensions as stored.
/// Throws E0396 when sizes and bytes disagree.
at::Tensor read_idx(const ByteSource& source);

/// By content, any of the three; a single array has the name "".
std::map<std::string, at::Tensor> read_arrays(const std::filesystem::path& path);
/// Whether read_arrays() knows such bytes.
bool looks_like_arrays(const ByteSource& source);

}  // namespace pollard::models::io
