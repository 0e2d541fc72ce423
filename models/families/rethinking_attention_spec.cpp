// SPDX-License-Identifier: Apache-2.0
#include "models/families/rethinking_attention_spec.h"

namespace pollard::models {
namespace {

struct Place {
  const char *kind, *where, *stack, *path;  ///< path: from the layer to the replacing network
};

constexpr Place kPlaces[] = {
    {"ALR", "encoder", "encoder.encoder_layers.", ".multi_headed_attention.attention.ff"},
    {"ALSR", "encoder", "encoder.encoder_layers.", ".multi_headed_attention.attention.ff_list.0"},
    {"ALRR", "encoder", "encoder.encoder_layers.", ".sublayer_zero.FFNetwork"},
    {"ELR", "encoder", "encoder.encoder_layers.", ".FFNetwork"},
    {"ALR", "decoder_self", "decoder.decoder_layers.", ".trg_multi_headed_attention.attention.ff"},
    {"ALR", "decoder_cross", "decoder.decoder_layers.", ".src_multi_headed_attention.attention.ff"},
};

void find_replaced(const Shapes& shapes, const Place& place, RethinkingSpec& s) {
  for (std::int64_t i = 0; i < s.number_of_layers; ++i) {
    const std::string network = place.stack + std::to_string(i) + place.path + ".layers.";
    if (!shapes.has(network + "1.weight")) continue;
    s.kind = place.kind, s.where = place.where;
    s.layers.push_back(i);
    s.hidden_size = shapes.dim(network + "1.weight", 0);
    s.MAX_LEN = shapes.dim(network + "0.weight", 0) / s.model_dimension;
    if (s.where == "decoder_cross") s.MAX_LEN /= 2;
    if (s.kind == "ALSR")
      s.number_of_heads = shapes.count(
          "encoder.encoder_layers." + std::to_string(i) + ".multi_headed_attention.attention.ff_list.",
          ".layers.1.weight");
  }
}

}  // namespace

std::string guess_rethinking(const Shapes& shapes) {
  RethinkingSpec s;
  s.src_vocab_size = shapes.dim("src_embedding.embeddings_table.weight", 0);
  s.trg_vocab_size = shapes.dim("trg_embedding.embeddings_table.weight", 0);
  s.model_dimension = shapes.dim("src_embedding.embeddings_table.weight", 1);
  s.number_of_layers = shapes.count("decoder.decoder_layers.", ".pointwise_net.linear1.weight");
  s.number_of_heads = s.model_dimension % 8 == 0 ? 8 : 1;
  for (const Place& place : kPlaces) find_replaced(shapes, place, s);
  return spec_to_json(s);
}

}  // namespace pollard::models
