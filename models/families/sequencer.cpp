// SPDX-License-Identifier: Apache-2.0
#include "models/families/sequencer.h"

#include <algorithm>
#include <cmath>
#include <regex>

#include "models/families/sequencer_spec.h"
#include "models/layers/attention.h"
#include "models/layers/conv.h"
#include "models/layers/map_recurrence.h"

namespace pollard::models {
namespace {

/// A map x [B, H, W, C] through a layer for [B, C, H, W].
at::Tensor channels_first(const Conv2d& conv, const at::Tensor& x) {
  return conv(x.permute({0, 3, 1, 2})).permute({0, 2, 3, 1});
}

struct Block : Module {
  LayerNorm norm1, norm2;
  MapRecurrence rnn_tokens;
  Mlp mlp_channels;
  double drop;
  Block(const SequencerSpec& s, std::size_t stage)
      : norm1(s.embed_dims[stage], 1e-6),
        norm2(s.embed_dims[stage], 1e-6),
        rnn_tokens(s.mixer(stage)),
        mlp_channels(s.embed_dims[stage], s.mlp_ratios[stage] * s.embed_dims[stage]),
        drop(s.drop_path_rate) {
    mlp_channels.dropout = s.drop_rate;
    children(
        {{"norm1", norm1}, {"rnn_tokens", rnn_tokens}, {"norm2", norm2}, {"mlp_channels", mlp_channels}});
  }
  at::Tensor operator()(const at::Tensor& x) const {
    const at::Tensor y = x.add(drop_path(rnn_tokens(norm1(x)), drop, training()));
    return y.add(drop_path(mlp_channels(norm2(y)), drop, training()));
  }
};

struct Stage : Module {
  std::optional<Conv2d> down;  ///< between stages, with parameters even where it keeps the size
  ModuleList<Block> blocks;
  Stage(const SequencerSpec& s, std::size_t stage) {
    if (stage > 0)
      child("downsample.down",
            down.emplace(s.embed_dims[stage - 1], s.embed_dims[stage], s.patch_sizes[stage],
                         ConvOptions<2>{.stride = s.patch_sizes[stage]}));
    for (std::int64_t k = 0; k < s.layers[stage]; ++k) blocks.emplace(s, stage);
    child("blocks", blocks);
  }
};

/// As timm and the authors start: a head of zeros; convolutions LeCun normal; matrices Xavier; recurrent layers and
/// norms as they are.
std::optional<Init> initial(const SequencerSpec& s, const std::string& key, at::IntArrayRef shape) {
  const bool bias = key.ends_with(".bias");
  if (key == "head.fc.bias" && s.nlhb) return Init::constant(-std::log(static_cast<double>(s.num_classes)));
  if (key.starts_with("head.fc.")) return Init::zeros();
  if (key.starts_with("stem.proj.") || key.find(".downsample.") != std::string::npos) {
    if (bias) return Init::zeros();
    // A normal distribution cut at two deviations has 0.8796 of its deviation left.
    const double deviation =
        1 / std::sqrt(static_cast<double>(shape[1] * shape[2] * shape[3])) / 0.87962566103423978;
    return Init::truncated_normal(deviation, 2 * deviation);
  }
  const bool mlp = key.find(".mlp_channels.") != std::string::npos;
  if (!mlp && key.find(".rnn_tokens.fc.") == std::string::npos) return std::nullopt;
  if (!bias) return Init::xavier_uniform();
  return mlp ? Init::normal(1e-6) : Init::zeros();
}

class Sequencer : public Network {
 public:
  explicit Sequencer(SequencerSpec spec)
      : spec_(std::move(spec)),
        proj_(spec_.in_chans, spec_.embed_dims[0], spec_.patch_sizes[0], {.stride = spec_.patch_sizes[0]}),
        norm_(spec_.embed_dims.back(), 1e-6),
        head_(spec_.embed_dims.back(), spec_.num_classes) {
    const std::int64_t side = spec_.img_size / spec_.patch_sizes[0];
    if (spec_.ape)
      parameter("absolute_pos_embed", positions_, {1, side, side, spec_.embed_dims[0]},
                Init::truncated_normal(0.02));
    child("stem.proj", proj_);
    if (spec_.stem_norm) child("stem.norm", stem_norm_.emplace(spec_.embed_dims[0], 1e-6));
    for (std::size_t s = 0; s < spec_.layers.size(); ++s) stages_.emplace(spec_, s);
    children({{"stages", stages_}, {"norm", norm_}, {"head.fc", head_}});
    set_init([this](const auto& key, auto shape) { return initial(spec_, key, shape); });
  }

  Result forward(const std::vector<at::Tensor>& inputs) override {
    at::Tensor x = proj_(inputs.at(0)).permute({0, 2, 3, 1});
    if (stem_norm_) x = (*stem_norm_)(x);
    if (spec_.ape) x = x.add(positions_);
    tap("stem", x), tap("stem(+ape)", x);
    for (std::size_t s = 0; s < stages_.size(); ++s) {
      if (stages_[s].down) x = channels_first(*stages_[s].down, x);
      // The authors count a downsampling as the end of the stage before.
      if (s > 0) tap("blocks." + std::to_string(s - 1), x);
      for (const auto& block : stages_[s].blocks) x = (*block)(x);
      tap("stages." + std::to_string(s), x);
    }
    tap("blocks." + std::to_string(stages_.size() - 1), x);
    tap("norm", x = norm_(x));
    return head_(dropped(x.mean({1, 2}), spec_.drop_rate, training()));
  }

  std::vector<Example> examples() const override {
    return {{"x", {batch(), spec_.in_chans, spec_.img_size, spec_.img_size}}};
  }

 private:
  SequencerSpec spec_;
  Conv2d proj_;
  std::optional<LayerNorm> stem_norm_;
  at::Tensor positions_;
  ModuleList<Stage> stages_;
  LayerNorm norm_;
  Linear head_;
};

/// The kind of recurrence, from the first token mixer.
void guess_mixer(const Shapes& shapes, const std::string& mixer, SequencerSpec& s) {
  const bool v = shapes.has(mixer + "rnn_v.weight_hh_l0"), h = shapes.has(mixer + "rnn_h.weight_hh_l0");
  const std::string rnn = mixer + (v ? "rnn_v." : h ? "rnn_h." : "rnn.");
  const std::int64_t hidden = shapes.dim(rnn + "weight_hh_l0", 1);
  const std::int64_t blocks = shapes.dim(rnn + "weight_hh_l0", 0) / std::max<std::int64_t>(1, hidden);
  s.rnn_layer = std::string(blocks == 4 ? "LSTM" : blocks == 3 ? "GRU" : "RNN") + (v || h ? "2D" : "");
  s.num_rnn_layers = shapes.count(rnn + "weight_hh_l", "");
  s.bidirectional = shapes.has(rnn + "weight_hh_l0_reverse");
  s.with_fc = shapes.has(mixer + "fc.weight");
  if (v != h) s.merge = v ? "vertical" : "horizontal";
  const std::int64_t merged = s.with_fc ? shapes.dim(mixer + "fc.weight", 1) : s.embed_dims[0];
  if (v && h && merged == hidden * (s.bidirectional ? 2 : 1)) s.merge = "add";
}

std::string guess(const Shapes& shapes) {
  SequencerSpec s;
  s.layers.clear(), s.patch_sizes.clear(), s.embed_dims.clear(), s.hidden_sizes.clear(), s.mlp_ratios.clear();
  const auto stage = [](std::size_t i) { return "stages." + std::to_string(i) + "."; };
  for (std::size_t i = 0; i == 0 || shapes.has(stage(i) + "blocks.0.norm1.weight"); ++i) {
    const std::string first = stage(i) + "blocks.0.";
    s.layers.push_back(shapes.count(stage(i) + "blocks.", ".norm1.weight"));
    s.embed_dims.push_back(shapes.dim(first + "norm1.weight", 0));
    s.patch_sizes.push_back(shapes.dim(i == 0 ? "stem.proj.weight" : stage(i) + "downsample.down.weight", 3));
    s.mlp_ratios.push_back(shapes.dim(first + "mlp_channels.fc1.weight", 0) /
                           std::max<std::int64_t>(1, s.embed_dims[i]));
    if (i == 0) guess_mixer(shapes, first + "rnn_tokens.", s);
    const std::string scan = first + "rnn_tokens." +
                             (s.vanilla()               ? "rnn"
                              : s.merge == "horizontal" ? "rnn_h"
                                                        : "rnn_v");
    s.hidden_sizes.push_back(shapes.dim(scan + ".weight_hh_l0", 1));
  }
  s.stem_norm = shapes.has("stem.norm.weight");
  s.ape = shapes.has("absolute_pos_embed");
  if (s.ape) s.img_size = shapes.dim("absolute_pos_embed", 1) * s.patch_sizes[0];
  s.in_chans = shapes.dim("stem.proj.weight", 1);
  s.num_classes = shapes.dim("head.fc.weight", 0);
  return spec_to_json(s);
}

/// The authors' names: a stage's downsampling is the last child of the stage before.
std::string rename(const std::string& key) {
  static const std::regex block(R"(^blocks\.(\d{1,4})\.(\d+)\.(.*)$)");
  if (std::smatch found; key.starts_with("blocks.") && std::regex_match(key, found, block)) {
    if (const std::string rest = found[3]; rest.starts_with("down."))
      return "stages." + std::to_string(std::stoi(found[1]) + 1) + ".downsample." + rest;
    return "stages." + found[1].str() + ".blocks." + found[2].str() + "." + found[3].str();
  }
  return key == "head.weight" || key == "head.bias" ? "head.fc." + key.substr(5) : key;
}

}  // namespace

Family sequencer() {
  Family f = make_family<SequencerSpec, Sequencer>(
      "sequencer", "Sequencer2D and Sequencer: recurrent layers along columns and rows");
  const auto add = [&](const char* name, const char* spec, std::int64_t parameters) {
    f.published.push_back({name, spec, parameters});
  };
  add("sequencer2d_s", "{}", 27'651'688);
  add("sequencer2d_m", R"({"layers":[4,3,14,3]})", 38'307'688);
  add("sequencer2d_l", R"({"layers":[8,8,16,4]})", 54'298'216);
  add("sequencer2d_s_unidirectional", R"({"bidirectional":false})", 20'991'592);
  add("sequencer2d_s_add", R"({"union":"add"})", 26'545'768);
  add("sequencer2d_s_h2x", R"({"hidden_sizes":[96,192,192,192]})", 45'395'560);
  add("sequencer2d_s_without_fc", R"({"with_fc":false})", 25'433'704);
  add("sequencer2d_s_vertical", R"({"hidden_sizes":[96,192,192,192],"union":"vertical","with_fc":false})",
      27'645'544);
  add("sequencer2d_s_horizontal", R"({"hidden_sizes":[96,192,192,192],"union":"horizontal","with_fc":false})",
      27'645'544);
  add("gru_sequencer2d_s", R"({"rnn_layer":"GRU2D"})", 24'874'600);
  add("rnn_sequencer2d_s", R"({"rnn_layer":"RNN2D"})", 19'320'424);
  add("sequencer2d_s_392", R"({"img_size":392})", 27'651'688);
  add("sequencer2d_m_392", R"({"layers":[4,3,14,3],"img_size":392})", 38'307'688);
  add("sequencer2d_l_392", R"({"layers":[8,8,16,4],"img_size":392})", 54'298'216);
  const char* large_patches = R"({"rnn_layer":"LSTM","with_fc":false,"patch_sizes":[14,1,1,1],
      "embed_dims":[384,384,384,384],"hidden_sizes":[192,192,192,192]})";
  add("v_sequencer_s", large_patches, 33'016'552);
  add("v_sequencer_s_pe", (std::string(R"({"ape":true,)") + (large_patches + 1)).c_str(), 33'114'856);
  add("v_sequencer_s_h", R"({"rnn_layer":"LSTM","with_fc":false,"hidden_sizes":[96,192,192,192]})",
      27'645'544);
  f.golden_archs = {"sequencer2d*", "vanilla_sequencer"};
  const auto small = [](const char* rest) {
    return std::string(
               R"({"layers":[1,2],"patch_sizes":[7,2],"embed_dims":[16,24],"mlp_ratios":[3,2],"img_size":42,
          "num_classes":10,)") +
           rest;
  };
  f.small_specs = {
      small(R"("hidden_sizes":[6,8]})"),
      small(
          R"("hidden_sizes":[4,6],"union":"vertical","stem_norm":true,"drop_rate":0.1,"drop_path_rate":0.1})"),
      small(R"("hidden_sizes":[8,12],"union":"horizontal","with_fc":false,"rnn_layer":"GRU2D"})"),
      small(R"("hidden_sizes":[6,8],"union":"add","num_rnn_layers":2,"nlhb":true})"),
      small(R"("hidden_sizes":[4,6],"with_fc":false})"),
      small(R"("hidden_sizes":[6,8],"bidirectional":false,"rnn_layer":"RNN2D","in_chans":1})"),
      small(R"("hidden_sizes":[8,12],"rnn_layer":"LSTM","with_fc":false,"ape":true})"),
      small(R"("hidden_sizes":[16,24],"bidirectional":false,"rnn_layer":"GRU","with_fc":false})")};
  f.spec_from_shapes = guess;
  f.rename = rename;
  return f;
}

}  // namespace pollard::models
