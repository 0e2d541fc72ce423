// SPDX-License-Identifier: Apache-2.0
#include "kernels/slice_gather.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <functional>

#include "kernels/cuda_operators.h"
#include "kernels/gradients.h"

#if defined(__x86_64__) && !defined(__clang__)
#include <immintrin.h>
#endif

namespace pollard::kernels {
namespace {

/// A run of kept positions along the innermost sliced dimension, in bytes.
struct Run {
  std::int64_t offset, length;
};

/// Where each output row starts in the input, in bytes: all combinations of kept indices of the outer dimensions.
std::vector<std::int64_t> row_offsets(const at::Tensor& tensor,
                                      const std::map<std::int64_t, std::vector<std::int64_t>>& kept,
                                      std::int64_t inner_dim) {
  std::vector<std::int64_t> offsets{0};
  for (std::int64_t d = 0; d < inner_dim; ++d) {
    const std::int64_t stride = tensor.stride(d) * static_cast<std::int64_t>(tensor.itemsize());
    const auto found = kept.find(d);
    const std::int64_t count =
        found == kept.end() ? tensor.size(d) : static_cast<std::int64_t>(found->second.size());
    std::vector<std::int64_t> next;
    next.reserve(offsets.size() * static_cast<std::size_t>(count));
    for (std::int64_t base : offsets)
      for (std::int64_t i = 0; i < count; ++i)
        next.push_back(base +
                       stride * (found == kept.end() ? i : found->second[static_cast<std::size_t>(i)]));
    offsets = std::move(next);
  }
  return offsets;
}

std::vector<Run> runs_of(const std::vector<std::int64_t>& indices, std::int64_t bytes) {
  std::vector<Run> runs;
  for (std::int64_t index : indices) {
    if (!runs.empty() && runs.back().offset + runs.back().length == index * bytes)
      runs.back().length += bytes;
    else
      runs.push_back({index * bytes, bytes});
  }
  return runs;
}

/// What is kept of a row: indices, and for units of 2 and 4 bytes which of those in every 64 bytes of the row.
struct Kept {
  const std::vector<std::int64_t>& indices;
  std::vector<std::uint32_t> masks;
};

/// Rows whose runs are short: unit by unit, units of a size the compiler knows (Zen 5: scalar copies beat hardware
/// gathers).
template <std::size_t Bytes>
void copy_units(const char* row, const Kept& kept, char* out) {
  for (std::int64_t index : kept.indices) {
    std::memcpy(out, row + static_cast<std::size_t>(index) * Bytes, Bytes);
    out += Bytes;
  }
}

#if defined(__x86_64__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vbmi2")
template <std::size_t Bytes>
struct Lanes;
template <>
struct Lanes<4> {
  static __m512i packed(std::uint32_t mask, const char* from) {
    const auto m = static_cast<__mmask16>(mask);
    return _mm512_maskz_compress_epi32(m, _mm512_maskz_loadu_epi32(m, from));
  }
  static void store(std::int64_t count, __m512i v, char* to) {
    _mm512_mask_storeu_epi32(to, static_cast<__mmask16>((1U << count) - 1), v);
  }
};
template <>
struct Lanes<2> {
  static __m512i packed(std::uint32_t mask, const char* from) {
    return _mm512_maskz_compress_epi16(mask, _mm512_maskz_loadu_epi16(mask, from));
  }
  static void store(std::int64_t count, __m512i v, char* to) {
    _mm512_mask_storeu_epi16(to, (std::uint32_t{1} << count) - 1, v);
  }
};

/// 64 bytes at a time: what is kept of them moves together in a register. A store writes past what was kept, where what comes
/// next of the same row will stand; where the row ends, it does not.
template <std::size_t Bytes>
void compress_units(const char* row, const Kept& kept, char* out) {
  char* const end = out + kept.indices.size() * Bytes;
  for (const std::uint32_t mask : kept.masks) {
    const __m512i v = Lanes<Bytes>::packed(mask, row);
    if (end - out >= 64)
      _mm512_storeu_si512(out, v);
    else
      Lanes<Bytes>::store((end - out) / static_cast<std::int64_t>(Bytes), v, out);
    row += 64;
    out += static_cast<std::size_t>(std::popcount(mask)) * Bytes;
  }
}
#pragma GCC pop_options
bool compresses() { return __builtin_cpu_supports("avx512vbmi2") && __builtin_cpu_supports("avx512bw"); }
#endif

using CopyRow = void (*)(const char*, const Kept&, char*);
CopyRow unit_copier(std::int64_t bytes) {
#if defined(__x86_64__) && !defined(__clang__)
  if (compresses() && bytes == 4) return compress_units<4>;
  if (compresses() && bytes == 2) return compress_units<2>;
#endif
  switch (bytes) {
    case 1: return copy_units<1>;
    case 2: return copy_units<2>;
    case 4: return copy_units<4>;
    case 8: return copy_units<8>;
    case 18: return copy_units<18>;
    case 36: return copy_units<36>;  // 3 x 3 kernels of floats
    case 72: return copy_units<72>;
    case 100: return copy_units<100>;  // 5 x 5
    case 196: return copy_units<196>;  // 7 x 7
    default: return nullptr;
  }
}

Kept kept_of(const std::vector<std::int64_t>& indices, std::int64_t units, std::int64_t bytes) {
  Kept kept{indices, {}};
  if (bytes != 2 && bytes != 4) return kept;
  const std::int64_t lanes = 64 / bytes;
  kept.masks.resize(static_cast<std::size_t>((units + lanes - 1) / lanes));
  for (std::int64_t index : indices)
    kept.masks[static_cast<std::size_t>(index / lanes)] |= std::uint32_t{1} << (index % lanes);
  return kept;
}

void copy_runs(const char* row, const std::vector<Run>& runs, char* out) {
  for (const Run& run : runs) {
    std::memcpy(out, row + run.offset, static_cast<std::size_t>(run.length));
    out += run.length;
  }
}

/// From so many bytes on, what is kept of the innermost sliced dimension is a row by itself: rows are what threads share.
constexpr std::int64_t kRowOfItsOwn = 512;

/// copy(row of the input, row of the output), output rows one behind the other.
template <class Copy>
void for_each_row(const std::vector<std::int64_t>& offsets, std::int64_t row_bytes, const char* from,
                  char* to, const Copy& copy) {
  const std::int64_t grain =
      std::max<std::int64_t>(1, (std::int64_t{1} << 16) / std::max<std::int64_t>(1, row_bytes));
  at::parallel_for(0, static_cast<std::int64_t>(offsets.size()), grain,
                   [&](std::int64_t begin, std::int64_t end) {
                     for (std::int64_t r = begin; r < end; ++r)
                       copy(from + offsets[static_cast<std::size_t>(r)], to + r * row_bytes);
                   });
}

at::Tensor gather_on_cuda(const at::Tensor& source,
                          const std::map<std::int64_t, std::vector<std::int64_t>>& kept,
                          const std::vector<std::int64_t>& shape) {
  const auto& [dim, indices] = *kept.rbegin();
  const std::int64_t unit = source.stride(dim) * static_cast<std::int64_t>(source.itemsize()),
                     columns = source.size(dim);
  std::vector<std::int64_t> rows = row_offsets(source, kept, dim);
  for (std::int64_t& row : rows) row /= std::max<std::int64_t>(1, columns * unit);
  return cuda::slice(source, rows, indices, columns, unit, shape);
}

}  // namespace

at::Tensor slice_gather(const at::Tensor& tensor,
                        const std::map<std::int64_t, std::vector<std::int64_t>>& kept, BlockMemory& memory) {
  const at::Tensor source = tensor.detach().contiguous();
  if (kept.empty()) return source;
  std::vector<std::int64_t> shape = source.sizes().vec();
  for (const auto& [dim, indices] : kept)
    shape[static_cast<std::size_t>(dim)] = static_cast<std::int64_t>(indices.size());
  if (source.is_meta()) return at::empty(shape, source.options());
  if (source.is_cuda()) return gather_on_cuda(source, kept, shape);
  at::Tensor out = memory.empty(shape, source.scalar_type());
  if (out.numel() == 0) return out;
  slice_gather_into(source, kept, static_cast<char*>(out.data_ptr()));
  return out;
}

void slice_gather_into(const at::Tensor& source,
                       const std::map<std::int64_t, std::vector<std::int64_t>>& kept, char* to) {
  const auto& [dim, indices] = *kept.rbegin();
  const std::int64_t unit = source.stride(dim) * static_cast<std::int64_t>(source.itemsize());
  const char* from = static_cast<const char*>(source.const_data_ptr());
  if (unit >= kRowOfItsOwn) {
    for_each_row(row_offsets(source, kept, dim + 1), unit, from, to,
                 [&](const char* row, char* out) { std::memcpy(out, row, static_cast<std::size_t>(unit)); });
    return;
  }
  const std::vector<Run> runs = runs_of(indices, unit);
  const Kept picked = kept_of(indices, source.size(dim), unit);
  const CopyRow units = runs.size() * 4 > indices.size() ? unit_copier(unit) : nullptr;
  const auto row_bytes = unit * static_cast<std::int64_t>(indices.size());
  for_each_row(row_offsets(source, kept, dim), row_bytes, from, to, [&](const char* row, char* out) {
    if (units)
      units(row, picked, out);
    else
      copy_runs(row, runs, out);
  });
}

namespace {

/// The indices of every dimension, checked.
std::map<std::int64_t, std::vector<std::int64_t>> kept_indices(const at::Tensor& tensor, at::IntArrayRef dims,
                                                               at::TensorList kept) {
  TORCH_CHECK_VALUE(dims.size() == kept.size(), "slice_gather: ", dims.size(), " dimensions, ", kept.size(),
                    " lists of indices");
  std::map<std::int64_t, std::vector<std::int64_t>> out;
  for (std::size_t k = 0; k < dims.size(); ++k) {
    const at::Tensor& t = kept[k];
    TORCH_CHECK_VALUE(
        dims[k] >= 0 && dims[k] < tensor.dim() && t.dim() == 1 && t.is_cpu() && t.scalar_type() == at::kLong,
        "slice_gather: indices ", t.sizes(), " along dimension ", dims[k], " of ", tensor.sizes());
    const at::Tensor row = t.contiguous();
    std::vector<std::int64_t> indices(row.const_data_ptr<std::int64_t>(),
                                      row.const_data_ptr<std::int64_t>() + row.numel());
    const bool ascend = std::ranges::adjacent_find(indices, std::greater_equal<>()) == indices.end();
    const bool exist = indices.empty() || (indices.front() >= 0 && indices.back() < tensor.size(dims[k]));
    TORCH_CHECK_VALUE(ascend && exist, "slice_gather: indices do not ascend within dimension ", dims[k],
                      " of ", tensor.sizes());
    TORCH_CHECK_VALUE(out.emplace(dims[k], std::move(indices)).second, "slice_gather: dimension ", dims[k],
                      " twice");
  }
  return out;
}

at::Tensor by_operator(const at::Tensor& tensor, at::IntArrayRef dims, at::TensorList kept) {
  const auto indices = kept_indices(tensor, dims, kept);
  if (follows_gradients(tensor)) return slice_gather_by_aten(tensor, dims, kept);
  if (indices.empty()) return tensor.clone();
  BlockMemory memory;
  return slice_gather(tensor, indices, memory);
}

}  // namespace

at::Tensor slice_gather_by_aten(const at::Tensor& tensor, at::IntArrayRef dims, at::TensorList kept) {
  at::Tensor out = tensor;
  for (std::size_t k = 0; k < dims.size(); ++k) out = out.index_select(dims[k], kept[k].to(tensor.device()));
  return out;
}

TORCH_LIBRARY_FRAGMENT(pollard, library) {
  library.def("slice_gather(Tensor tensor, int[] dims, Tensor[] kept) -> Tensor", by_operator);
}

}  // namespace pollard::kernels
