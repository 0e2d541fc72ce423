// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace pollard::kernels {

/// A Monarch matrix (Dao et al., 2022, arXiv 2204.00595) times input [.., k p]: first [k, q, p], second [l, s, r] with
/// l r = k q; result [.., s l].
///
///     a[k, q] = sum_p first[k, q, p] input[k p],  read as [r, l];   out[s, l] = sum_r second[l, s, r] a[r, l]
///
///     pollard::monarch(Tensor input, Tensor first, Tensor second) -> Tensor
///     pollard::packed_monarch(Tensor input, Tensor first, Tensor second, int q, int s) -> Tensor
///
/// Single precision without gradients runs in kernels that permute nothing: on CUDA devices, and on a CPU where rows are enough
/// to pay for packing the factors; everything else in two batched products of ATen's, differentiable. The second operator, of
/// CPUs alone, takes factors that pack_monarch_factor has packed once: what lowering makes of constant ones. Tensors of other
/// forms: ValueError.
at::Tensor monarch(const at::Tensor& input, const at::Tensor& first, const at::Tensor& second);
at::Tensor monarch_by_aten(const at::Tensor& input, const at::Tensor& first, const at::Tensor& second);

/// [blocks, out, in], single precision, as the kernel of this processor reads it: [blocks, in, out rounded up].
at::Tensor pack_monarch_factor(const at::Tensor& factor);

/// For tests: the kernel in a given instruction set the processor has ("avx512", "avx2", "portable").
at::Tensor monarch_with(const char* instruction_set, const at::Tensor& input, const at::Tensor& first,
                        const at::Tensor& second);

}  // namespace pollard::kernels
