// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "models/family.h"

namespace pollard::models {

/// Sizes by the names of the authors' scripts.
struct RethinkingSpec {
  std::int64_t model_dimension = 128, number_of_heads = 8, number_of_layers = 6;
  std::int64_t src_vocab_size = 10000, trg_vocab_size = 10000, MAX_LEN = 50;
  std::string kind;  // "" = attention everywhere
  std::string size = "L", where = "encoder";
  std::int64_t hidden_size = 0;      // width m of the replacing networks; 0 = what `size` says
  std::vector<std::int64_t> layers;  // the replaced ones; none given = all
  double dropout = 0.1;

  void fields(Fields& f) {
    f.integer("model_dimension", model_dimension, {2, 1 << 14});
    f.integer("number_of_heads", number_of_heads, {1, 256});
    f.integer("number_of_layers", number_of_layers, {1, 256});
    f.integer("src_vocab_size", src_vocab_size);
    f.integer("trg_vocab_size", trg_vocab_size);
    f.integer("MAX_LEN", MAX_LEN, {1, kTable});
    f.text("kind", kind, {"", "ALR", "ALSR", "ALRR", "ELR"});
    f.text("size", size, {"XS", "S", "M", "L", "XL"});
    f.text("where", where, {"encoder", "decoder_self", "decoder_cross"});
    f.integer("hidden_size", hidden_size, {0, 1 << 18});
    f.integers("layers", layers, {0, 255});
    f.real("dropout", dropout);
    f.require(model_dimension % 2 == 0 && model_dimension % number_of_heads == 0,
              "model_dimension is even and a multiple of number_of_heads");
    f.require(where == "encoder" || kind == "ALR", "in the decoder only ALR exists");
    if (kind.empty()) return;
    if (layers.empty())
      for (std::int64_t i = 0; i < number_of_layers; ++i) layers.push_back(i);
    for (const std::int64_t layer : layers) f.require(layer < number_of_layers, "layers exist");
    if (hidden_size == 0) hidden_size = usual_width();
    f.require(hidden_size > 0, "MAX_LEN and model_dimension are large enough for a network of this size");
  }

  bool replaces(std::string_view what, std::string_view place, std::int64_t layer) const {
    return kind == what && where == place && std::ranges::find(layers, layer) != layers.end();
  }
  /// Numbers of one sentence.
  std::int64_t sentence() const { return MAX_LEN * model_dimension; }
  std::int64_t input_width() const { return where == "decoder_cross" ? 2 * sentence() : sentence(); }

  static constexpr std::int64_t kTable = 5000;  ///< rows of the position table

 private:
  std::int64_t usual_width() const {
    const std::int64_t w = input_width();
    const bool one_a_head = kind == "ALSR";
    if (size == "XS") return w / (one_a_head ? 32 : 256);
    if (size == "S") return w / (one_a_head ? 16 : 128);
    if (size == "M") return w / 8;
    if (size == "L") return w / (one_a_head ? 4 : 2);
    return one_a_head ? w / 4 : 2 * w;
  }
};

/// Sizes and the replaced layers as far as names and shapes tell; heads do not show but under ALSR.
std::string guess_rethinking(const Shapes& shapes);

}  // namespace pollard::models
