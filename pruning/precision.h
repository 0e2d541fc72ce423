// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/model.h"

namespace pollard::pruning {

/// A network whose numbers take less room, and how far it is from the one it was made of.
struct Converted {
  struct Layer {
    std::string weight;  ///< state-dict name
    std::vector<std::int64_t> shape;
    double weight_error = 0;  ///< |W' - W| / |W|, Frobenius
    double output_error = 0;  ///< |x W' - x W| / |x W| on the original's own activations
  };
  models::Model model;
  std::vector<Layer> layers;  ///< of to_int8(), in program order
  double output_change = 0;   ///< largest |after - before| / |before| over outputs, on example inputs
};

/// Weights, inputs and arithmetic in `type` (f16, bf16, f32, f64), as PyTorch's module.to(type) does, and the program's
/// own conversions with them. Integers stay. Throws UserError E0471 when a weight is too large for the type.
Converted to_type(const models::Model& model, graph::DType type, std::uint64_t seed = 0);

/// Weights of linear layers as one byte each and one scale an output channel: W' = scale * round(W / scale), with the
/// largest of a channel at 127. The program says so in ordinary ops, in front of the layer's first reader:
///
///     w:i8[o,i] -> to(f32) -> mul(w_scale:f32[o,1]) -> linear
///
/// so every reader of .pt2 and .safetensors runs it; memory on disk falls to a quarter, arithmetic stays in floats.
/// The report is also in the model's metadata (pollard.precision). Throws UserError E0472 without a linear layer.
Converted to_int8(const models::Model& model, std::uint64_t seed = 0);

}  // namespace pollard::pruning
