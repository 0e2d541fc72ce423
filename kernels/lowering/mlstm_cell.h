// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace pollard::kernels {

class Lowering;

/// Lowering rule: a convolution along tokens [B, S, width] with a kernel a channel that sees nothing to come, between two
/// transposes, becomes pollard::packed_causal_conv1d, a SiLU behind it included. Returns how many places it changed.
std::size_t fuse_causal_convolutions(Lowering& l);

/// Lowering rule: what a Vision-LSTM layer computes from its tokens for pollard::mlstm and from what that gives becomes
/// pollard::packed_mlstm_cell. Returns how many places it changed.
std::size_t fuse_mlstm_cells(Lowering& l);

/// Lowering rule: a layer of these kernels between two flips of its tokens runs backwards instead. Returns how many places it
/// changed.
std::size_t read_backwards(Lowering& l);

}  // namespace pollard::kernels
