// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace pollard::kernels {

/// Attention whose heads have a gate each, for scoring and for trying out what a network is without some of them (Michel et
/// al., 2019, arXiv 1905.10650): query [B, heads, L, E], key [B, heads, S, E], value [B, heads, S, D], gate [heads] or
/// [B, heads] or none, for all open; result [B, heads, L, D]:
///
///     out[b, h] = gate[b, h] softmax(query[b, h] key[b, h]^T scale + attn_mask) value[b, h],  scale = 1 / sqrt(E) unless given
///
///     pollard::masked_attention(Tensor query, Tensor key, Tensor value, Tensor? gate, Tensor? attn_mask=None,
///                               bool is_causal=False, float? scale=None) -> Tensor
///
/// A head whose gate is 0 is not computed: its result is 0 whatever it reads. With gradients all are, since the gradient of a
/// closed gate is what opening it would change. attn_mask as of aten::scaled_dot_product_attention; a query that may see no
/// key gives 0. Single precision without gradients runs in a kernel that reads every head where it lies, on a CPU while a
/// head's keys and values stay in a core's cache, on a CUDA device with D up to 256; everything else in aten::scaled_dot_product_attention, open heads copied
/// together first. Tensors of other forms: ValueError.
struct MaskedOptions {
  std::optional<at::Tensor> mask = {};
  bool causal = false;
  std::optional<double> scale = {};
};
at::Tensor masked_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                            const std::optional<at::Tensor>& gate, const MaskedOptions& options = {});
at::Tensor masked_attention_by_aten(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                                    const std::optional<at::Tensor>& gate, const MaskedOptions& options = {});

/// For tests: the kernel in a given instruction set the processor has ("avx512", "avx2", "portable").
at::Tensor masked_attention_with(const char* instruction_set, const at::Tensor& query, const at::Tensor& key,
                                 const at::Tensor& value, const std::optional<at::Tensor>& gate,
                                 const MaskedOptions& options = {});

}  // namespace pollard::kernels
