// SPDX-License-Identifier: Apache-2.0
#include "models/families/swinlstm.h"

#include <ATen/ops/sigmoid.h>

#include <algorithm>

#include "models/families/swinlstm_spec.h"
#include "models/layers/conv.h"
#include "models/layers/roll_out.h"
#include "models/layers/swin_cell.h"
#include "models/layers/vision_transformer.h"

namespace pollard::models {
namespace {

/// A frame [B, C, H, W] as a map of normalised patches [B, H/2, W/2, width], and back.
struct FrameEmbed : Module {
  Conv2d proj;
  LayerNorm norm;
  explicit FrameEmbed(const SwinLstmSpec& s)
      : proj(s.in_chans, s.embed_dim, s.patch_size, {.stride = s.patch_size}), norm(s.embed_dim) {
    children({{"proj", proj}, {"norm", norm}});
  }
  at::Tensor operator()(const at::Tensor& frame) const { return norm(proj(frame).permute({0, 2, 3, 1})); }
};
struct FrameHead : ConvTranspose2d {
  explicit FrameHead(const SwinLstmSpec& s)
      : ConvTranspose2d(s.embed_dim, s.in_chans, 3, {.stride = 2, .padding = 1}, 1) {}
  at::Tensor operator()(const at::Tensor& map) const {
    return at::sigmoid(ConvTranspose2d::operator()(map.permute({0, 3, 1, 2})));
  }
};

/// Doubles a map [B, H, W, C] to [B, 2H, 2W, C/2]: a position's four quarters go row by row.
struct PatchExpanding : Module {
  Linear expand;
  LayerNorm norm;
  explicit PatchExpanding(std::int64_t width) : expand(width, 2 * width, Bias::No), norm(width / 2) {
    children({{"expand", expand}, {"norm", norm}});
  }
  at::Tensor operator()(const at::Tensor& x) const {
    const std::int64_t b = x.size(0), h = x.size(1), w = x.size(2), out = x.size(3) / 2;
    const at::Tensor quarters = expand(x).view({b, h, w, 2, 2, out}).permute({0, 1, 3, 2, 4, 5});
    return norm(quarters.reshape({b, 2 * h, 2 * w, out}));
  }
};

using State = SwinCell::State;

std::vector<State> start(const ModuleList<SwinCell>& cells, const at::Tensor& frames) {
  std::vector<State> states;
  for (const auto& cell : cells) states.push_back(cell->start(frames));
  return states;
}

void tap_state(const std::string& h, const std::string& c, const State& state) {
  if (!tapping()) return;
  tap(h, state.h.flatten(1, 2));
  tap(c, state.c.flatten(1, 2));
}

std::vector<Example> frames_of(const SwinLstmSpec& s) {
  return {{"frames", {batch(), s.t_in, s.in_chans, s.img_size, s.img_size}}};
}

class SwinLstmB : public Network {
 public:
  explicit SwinLstmB(SwinLstmBSpec spec) : spec_(std::move(spec)), patch_embed_(spec_), head_(spec_) {
    for (std::size_t i = 0; i < spec_.depths.size(); ++i) {
      const auto depth = static_cast<std::size_t>(spec_.depths[i]);
      cells_.emplace(spec_.cell(0, spec_.num_heads[i], std::vector<double>(depth, spec_.drop_path_rate)));
    }
    children({{"ST.patch_embed", patch_embed_}, {"ST.PatchInflated.ConvT", head_}, {"ST.layers", cells_}});
  }

  Result forward(const std::vector<at::Tensor>& inputs) override {
    std::vector<State> states = start(cells_, inputs.at(0));
    const at::Tensor out = roll_out(inputs.at(0), {spec_.t_in, spec_.t_out}, [&](const at::Tensor& frame) {
      at::Tensor x = patch_embed_(frame);
      for (std::size_t i = 0; i < states.size(); ++i) x = (states[i] = cells_[i](x, states[i])).h;
      return head_(x);
    });
    tap_state("h of last cell", "c of last cell", states.back());
    return out;
  }

  std::vector<Example> examples() const override { return frames_of(spec_); }

 private:
  SwinLstmBSpec spec_;
  FrameEmbed patch_embed_;
  FrameHead head_;
  ModuleList<SwinCell> cells_;
};

class SwinLstmD : public Network {
 public:
  explicit SwinLstmD(SwinLstmDSpec spec)
      : spec_(std::move(spec)), patch_embed_(spec_), unused_embed_(spec_), head_(spec_) {
    for (std::size_t i = 0; i < spec_.levels(); ++i) {
      down_.emplace(spec_.cell(i, spec_.num_heads[i], spec_.drop_path(spec_.depths_down, i)));
      merge_.emplace(spec_.embed_dim << i, spec_.embed_dim << (i + 1));
    }
    for (std::size_t i = spec_.levels(); i-- > 0;) {
      std::vector<double> rates = spec_.drop_path(spec_.depths_up, i);
      std::ranges::reverse(rates);
      up_.emplace(spec_.cell(i + 1, spec_.num_heads[i], std::move(rates)));
      expand_.emplace(spec_.embed_dim << (i + 1));
    }
    children({{"Downsample.patch_embed", patch_embed_},
              {"Downsample.layers", down_},
              {"Downsample.downsample", merge_},
              {"Upsample.patch_embed", unused_embed_},
              {"Upsample.Unembed.Conv", head_},
              {"Upsample.layers", up_},
              {"Upsample.upsample", expand_}});
  }

  Result forward(const std::vector<at::Tensor>& inputs) override {
    std::vector<State> down = start(down_, inputs.at(0)), up = start(up_, inputs.at(0));
    const at::Tensor out = roll_out(inputs.at(0), {spec_.t_in, spec_.t_out}, [&](const at::Tensor& frame) {
      at::Tensor x = patch_embed_(frame);
      for (std::size_t i = 0; i < down.size(); ++i) x = merge_[i]((down[i] = down_[i](x, down[i])).h);
      for (std::size_t i = 0; i < up.size(); ++i) x = expand_[i]((up[i] = up_[i](x, up[i])).h);
      return head_(x);
    });
    const auto tap_all = [](const std::string& way, const std::vector<State>& states) {
      for (std::size_t i = 0; i < states.size(); ++i) {
        const std::string name = way + std::to_string(i);
        tap_state(name + ".h", name + ".c", states[i]);
      }
    };
    tap_all("down", down), tap_all("up", up);
    return out;
  }

  std::vector<Example> examples() const override { return frames_of(spec_); }

 private:
  SwinLstmDSpec spec_;
  FrameEmbed patch_embed_, unused_embed_;
  FrameHead head_;
  ModuleList<SwinCell> down_, up_;
  ModuleList<PatchMerging> merge_;
  ModuleList<PatchExpanding> expand_;
};

std::string block_key(const std::string& way, std::size_t cell) {
  return way + ".layers." + std::to_string(cell) + ".Swin.layers.";
}

void guess_shared(const Shapes& shapes, const std::string& way, SwinLstmSpec& s) {
  const std::string first = block_key(way, 0);
  s.embed_dim = shapes.dim(way + ".patch_embed.proj.weight", 0);
  s.in_chans = shapes.dim(way + ".patch_embed.proj.weight", 1);
  s.patch_size = shapes.dim(way + ".patch_embed.proj.weight", 3);
  s.window_size = (square_root(shapes.dim(first + "0.attn.relative_position_bias_table", 0)) + 1) / 2;
  s.mlp_ratio = static_cast<double>(shapes.dim(first + "0.mlp.fc1.weight", 0)) /
                static_cast<double>(std::max<std::int64_t>(1, s.embed_dim));
  if (shapes.has(first + "1.attn_mask"))
    s.img_size = square_root(shapes.dim(first + "1.attn_mask", 0)) * s.window_size * s.patch_size;
}

std::string guess_b(const Shapes& shapes) {
  SwinLstmBSpec s;
  guess_shared(shapes, "ST", s);
  s.depths.clear(), s.num_heads.clear();
  for (std::size_t i = 0; shapes.has(block_key("ST", i) + "0.norm1.weight"); ++i) {
    s.depths.push_back(shapes.count(block_key("ST", i), ".norm1.weight"));
    s.num_heads.push_back(shapes.dim(block_key("ST", i) + "0.attn.relative_position_bias_table", 1));
  }
  return spec_to_json(s);
}

std::string guess_d(const Shapes& shapes) {
  SwinLstmDSpec s;
  guess_shared(shapes, "Downsample", s);
  s.depths_down.clear(), s.depths_up.clear(), s.num_heads.clear();
  for (std::size_t i = 0; shapes.has(block_key("Downsample", i) + "0.norm1.weight"); ++i) {
    s.depths_down.push_back(shapes.count(block_key("Downsample", i), ".norm1.weight"));
    s.depths_up.insert(s.depths_up.begin(), shapes.count(block_key("Upsample", i), ".norm1.weight"));
    s.num_heads.push_back(shapes.dim(block_key("Downsample", i) + "0.attn.relative_position_bias_table", 1));
  }
  return spec_to_json(s);
}

}  // namespace

Family swinlstm_b() {
  Family f =
      make_family<SwinLstmBSpec, SwinLstmB>("swinlstm_b", "SwinLSTM-B: video prediction, one resolution");
  f.published = {{"swinlstm_b_mmnist", R"({"num_heads":[4]})", 2'778'417}};
  f.golden_archs = {"swinlstm_b"};
  f.small_specs = {
      R"({"img_size":16,"embed_dim":16,"depths":[3,2],"num_heads":[2,4],"t_in":2,"t_out":2})",
      R"({"img_size":8,"embed_dim":16,"in_chans":2,"depths":[2],"num_heads":[2],"t_in":1,"t_out":1,"mlp_ratio":2.0,
          "drop_rate":0.1,"attn_drop_rate":0.1})"};
  f.spec_from_shapes = guess_b;
  return f;
}

Family swinlstm_d() {
  Family f =
      make_family<SwinLstmDSpec, SwinLstmD>("swinlstm_d", "SwinLSTM-D: video prediction, down and up again");
  f.published = {{"swinlstm_d_mmnist", "{}", 20'191'969}};
  f.golden_archs = {"swinlstm_d"};
  f.small_specs = {
      R"({"img_size":16,"embed_dim":8,"depths_down":[2,1],"depths_up":[1,2],"num_heads":[2,4],"t_in":2,"t_out":2})"};
  f.spec_from_shapes = guess_d;
  return f;
}

}  // namespace pollard::models
