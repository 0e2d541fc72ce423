// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/layers/map_recurrence.h"
#include "models/spec.h"

namespace pollard::models {

/// Sizes of a Sequencer, named as in timm and the authors' code; the lists have an entry a stage.
struct SequencerSpec {
  std::vector<std::int64_t> layers{4, 3, 8, 3}, patch_sizes{7, 2, 1, 1}, embed_dims{192, 384, 384, 384},
      hidden_sizes{48, 96, 96, 96}, mlp_ratios{3, 3, 3, 3};
  /// LSTM2D, GRU2D, RNN2D scan columns and rows; LSTM, GRU, RNN the map as one sequence (the vanilla Sequencer).
  std::string rnn_layer = "LSTM2D";
  std::string merge = "cat";  ///< field "union": what becomes of the two scans
  bool bidirectional = true, with_fc = true, stem_norm = false, ape = false, nlhb = false;
  std::int64_t num_rnn_layers = 1, num_classes = 1000, in_chans = 3, img_size = 224;
  double drop_rate = 0, drop_path_rate = 0;

  void fields(Fields& f) {
    f.integers("layers", layers, {1, 256}, 8);
    f.integers("patch_sizes", patch_sizes, {1, 1024}, 8);
    f.integers("embed_dims", embed_dims, {1, 1 << 14}, 8);
    f.integers("hidden_sizes", hidden_sizes, {1, 1 << 14}, 8);
    f.integers("mlp_ratios", mlp_ratios, {1, 64}, 8);
    f.text("rnn_layer", rnn_layer, {"LSTM2D", "GRU2D", "RNN2D", "LSTM", "GRU", "RNN"});
    f.text("union", merge, {"cat", "add", "vertical", "horizontal"});
    f.flag("bidirectional", bidirectional);
    f.flag("with_fc", with_fc);
    f.flag("stem_norm", stem_norm);
    f.flag("ape", ape);
    f.flag("nlhb", nlhb);
    f.integer("num_rnn_layers", num_rnn_layers, {1, 64});
    f.integer("num_classes", num_classes);
    f.integer("in_chans", in_chans, {1, 4096});
    f.integer("img_size", img_size, {1, 1 << 13});
    f.real("drop_rate", drop_rate);
    f.real("drop_path_rate", drop_path_rate);
    check(f);
  }

  bool vanilla() const { return !rnn_layer.ends_with("2D"); }
  Cell cell() const {
    if (rnn_layer.starts_with("LSTM")) return Cell::Lstm;
    return rnn_layer.starts_with("GRU") ? Cell::Gru : Cell::RnnTanh;
  }
  MapRecurrence::Options mixer(std::size_t stage) const {
    using Scans = MapRecurrence::Scans;
    Scans scans = Scans::Concatenated;
    if (merge == "add") scans = Scans::Added;
    if (merge == "vertical") scans = Scans::Vertical;
    if (merge == "horizontal") scans = Scans::Horizontal;
    return {.width = embed_dims[stage],
            .hidden = hidden_sizes[stage],
            .cell = cell(),
            .scans = vanilla() ? Scans::WholeMap : scans,
            .bidirectional = bidirectional,
            .fc = with_fc,
            .layers = num_rnn_layers};
  }

 private:
  void check(Fields& f) const {
    const std::size_t stages = layers.size();
    f.require(stages > 0 && patch_sizes.size() == stages && embed_dims.size() == stages &&
                  hidden_sizes.size() == stages && mlp_ratios.size() == stages,
              "layers, patch_sizes, embed_dims, hidden_sizes and mlp_ratios have an entry a stage");
    f.require(!vanilla() || !with_fc, "the vanilla Sequencer has no fc: with_fc is false");
    std::int64_t side = img_size;
    for (std::size_t s = 0; s < stages; ++s) {
      f.require((side /= patch_sizes[s]) > 0, "img_size is at least the product of patch_sizes");
      f.require(with_fc || mixer(s).joined() == embed_dims[s],
                "without fc the scans are as wide as embed_dims together");
    }
  }
};

}  // namespace pollard::models
