// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

namespace pollard::kernels {

/// Operators of pollard's own that stand for a part of a network and take its plain weights. A program may hold them like
/// any other op: the op table knows their terms and costs (graph/rules/), the lowering rule "operators" writes them out in
/// ATen's operators, for exporters and for other rules, and autograd follows what is written here. (The others of the
/// library, pollard::packed_*, are what lowering makes: their weights are packed and cannot shrink any more.)
///
///     pollard::mlstm(Tensor q, Tensor k, Tensor v, Tensor i, Tensor f, float eps) -> Tensor    recurrent/mlstm.h
///     pollard::bilstm2d(Tensor input, Tensor[] columns, Tensor[] rows) -> Tensor
///     pollard::bigru2d(Tensor input, Tensor[] columns, Tensor[] rows) -> Tensor
///     pollard::bigru(Tensor input, Tensor[] weights) -> Tensor
///     pollard::monarch(Tensor input, Tensor first, Tensor second) -> Tensor                monarch.h
///     pollard::focused_linear_attention(..), pollard::masked_attention(..),
///     pollard::cascaded_group_attention(..)                                        attention/*.h
///
/// Tensors of other forms: ValueError.

/// BiLSTM2D (Tatsunami and Taki, 2022, arXiv 2205.01972): one bidirectional LSTM reads every column of the map [B, H, W, C]
/// from zero states, one every row: [B, H, W, 2 hidden + 2 hidden], columns first. A layer's weights are those of its two
/// directions one after the other, as aten::lstm takes them: weight_ih [4 hidden, C], weight_hh [4 hidden, hidden] and, in
/// both layers or neither, two biases [4 hidden]. Single precision without gradients runs in a kernel on CPUs and, up to 2,048
/// hidden units, on CUDA devices (recurrent/layer.h), everything else in aten::lstm.
at::Tensor bilstm2d(const at::Tensor& input, at::TensorList columns, at::TensorList rows);
at::Tensor bilstm2d_by_aten(const at::Tensor& input, at::TensorList columns, at::TensorList rows);

/// The same with GRU layers (Cho et al., 2014, arXiv 1406.1078), three gates r, z, n; and one such layer both ways over
/// sequences [B, T, C]: [B, T, 2 hidden].
at::Tensor bigru2d(const at::Tensor& input, at::TensorList columns, at::TensorList rows);
at::Tensor bigru2d_by_aten(const at::Tensor& input, at::TensorList columns, at::TensorList rows);
at::Tensor bigru(const at::Tensor& input, at::TensorList weights);
at::Tensor bigru_by_aten(const at::Tensor& input, at::TensorList weights);

}  // namespace pollard::kernels
