// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "models/family.h"
#include "models/layers/attention.h"
#include "models/layers/positions.h"

namespace pollard::models {

inline constexpr std::int64_t kPositions = 5000;  ///< rows of the position table

/// The encoder's fields, shared by the three specs.
struct EncoderSpec {
  std::int64_t d_model = 128, nhead = 8, num_layers = 3, dim_feedforward = 2048;
  std::string activation = "relu";
  bool norm_first = false;
  double dropout = 0.1;

  void encoder_fields(Fields& f) {
    f.integer("d_model", d_model, {2, 1 << 16});
    f.integer("nhead", nhead, {1, 1024});
    f.integer("num_layers", num_layers, {1, 1024});
    f.integer("dim_feedforward", dim_feedforward, {1, 1 << 18});
    f.text("activation", activation, {"relu", "gelu"});
    f.flag("norm_first", norm_first);
    f.real("dropout", dropout);
    f.require(d_model % 2 == 0, "d_model is even");
    f.require(d_model % nhead == 0, "nhead divides d_model");
  }
  /// What a checkpoint's shapes show. Heads do not: eight are assumed.
  void guess(const Shapes& shapes) {
    d_model = shapes.dim("pos_encoder.pe", 1);
    num_layers = shapes.count("transformer_encoder.layers.", ".linear1.weight");
    dim_feedforward = shapes.dim("transformer_encoder.layers.0.linear1.weight", 0);
    nhead = d_model % 8 == 0 ? 8 : 1;
  }
};

/// Adds positions and runs the layers; batch first inside, taps sequence first as torch.nn's encoder shows
/// it.
struct Encoder : Module {
  SinusoidalPositions positions;
  ModuleList<EncoderLayer> layers;
  explicit Encoder(const EncoderSpec& s) : positions(s.d_model, kPositions) {
    const EncoderLayer::Options options{activation_from_name(s.activation), s.norm_first, s.dropout};
    while (std::ssize(layers) < s.num_layers) layers.emplace(s.d_model, s.nhead, s.dim_feedforward, options);
    children({{"pos_encoder", positions}, {"transformer_encoder.layers", layers}});
  }
  at::Tensor operator()(at::Tensor x) const {
    x = x.add(positions.pe.slice(0, 0, x.size(1)));
    for (const auto& layer : layers) x = (*layer)(x);
    if (tapping()) tap("encoder output", x.transpose(0, 1));
    return x;
  }
};

}  // namespace pollard::models
