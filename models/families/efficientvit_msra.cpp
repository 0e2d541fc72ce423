// SPDX-License-Identifier: Apache-2.0
#include "models/families/efficientvit_msra.h"

#include <ATen/ops/adaptive_avg_pool2d.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/sigmoid.h>

#include <algorithm>
#include <regex>

#include "models/families/efficientvit_msra_spec.h"
#include "models/layers/cascaded_attention.h"
#include "models/layers/vision_transformer.h"

namespace pollard::models {
namespace {

/// x + m(x).
template <class Inner>
struct Residual : Module {
  Inner m;
  double drop;
  template <class... Args>
  explicit Residual(double drop_rate, Args&&... args) : m(std::forward<Args>(args)...), drop(drop_rate) {
    child("m", m);
  }
  at::Tensor operator()(const at::Tensor& x) const { return x.add(drop_path(m(x), drop, training())); }
};

struct Ffn : Module {
  ConvNorm pw1, pw2;
  explicit Ffn(std::int64_t width) : pw1(width, 2 * width), pw2(2 * width, width) {
    children({{"pw1", pw1}, {"pw2", pw2}});
  }
  at::Tensor operator()(const at::Tensor& x) const { return pw2(at::relu(pw1(x))); }
};

CascadedAttention::Options attention_options(const EfficientVitSpec& s, std::size_t stage,
                                             std::int64_t window) {
  const auto heads = static_cast<std::ptrdiff_t>(s.num_heads[stage]);
  return {.width = s.embed_dim[stage],
          .key_dim = s.key_dim[stage],
          .side = window,
          .kernels = {s.kernels.begin(), s.kernels.begin() + heads}};
}

struct Block : Module {
  Residual<ConvNorm> dw0;
  Residual<Ffn> ffn0;
  Residual<CascadedAttention> mixer;
  Residual<ConvNorm> dw1;
  Residual<Ffn> ffn1;
  Block(const EfficientVitSpec& s, std::size_t stage, std::int64_t window)
      : dw0(s.drop_path_rate, s.embed_dim[stage], s.embed_dim[stage], 3, 1, s.embed_dim[stage]),
        ffn0(s.drop_path_rate, s.embed_dim[stage]),
        mixer(s.drop_path_rate, attention_options(s, stage, window)),
        dw1(s.drop_path_rate, s.embed_dim[stage], s.embed_dim[stage], 3, 1, s.embed_dim[stage]),
        ffn1(s.drop_path_rate, s.embed_dim[stage]) {
    children({{"dw0", dw0}, {"ffn0", ffn0}, {"mixer", mixer}, {"dw1", dw1}, {"ffn1", ffn1}});
  }
  at::Tensor operator()(const at::Tensor& x) const { return ffn1(dw1(mixer(ffn0(dw0(x))))); }
};

/// Depthwise and perceptron residuals around a strided bottleneck with squeeze and excitation.
struct Downsample : Module {
  Residual<ConvNorm> dw1, dw2;
  Residual<Ffn> ffn1, ffn2;
  ConvNorm conv1, conv2, conv3;
  Conv2d se1, se2;
  Downsample(std::int64_t in, std::int64_t out, double drop)
      : dw1(drop, in, in, 3, 1, in),
        dw2(drop, out, out, 3, 1, out),
        ffn1(drop, in),
        ffn2(drop, out),
        conv1(in, 4 * in),
        conv2(4 * in, 4 * in, 3, 2, 4 * in),
        conv3(4 * in, out),
        se1(4 * in, std::max<std::int64_t>(8, (in + 4) / 8 * 8), 1),
        se2(std::max<std::int64_t>(8, (in + 4) / 8 * 8), 4 * in, 1) {
    children({{"res1.0", dw1}, {"res1.1", ffn1}});
    children({{"patchmerge.conv1", conv1}, {"patchmerge.conv2", conv2}});
    children({{"patchmerge.se.fc1", se1}, {"patchmerge.se.fc2", se2}, {"patchmerge.conv3", conv3}});
    children({{"res2.0", dw2}, {"res2.1", ffn2}});
  }
  at::Tensor operator()(const at::Tensor& x) const {
    const at::Tensor y = at::relu(conv2(at::relu(conv1(ffn1(dw1(x))))));
    const at::Tensor gate = at::sigmoid(se2(at::relu(se1(y.mean({2, 3}, true)))));
    return ffn2(dw2(conv3(y.mul(gate))));
  }
};

struct Stage : Module {
  std::optional<Downsample> downsample;
  ModuleList<Block> blocks;
  Stage(const EfficientVitSpec& s, std::size_t stage, std::int64_t map) {
    if (stage > 0)
      child("downsample", downsample.emplace(s.embed_dim[stage - 1], s.embed_dim[stage], s.drop_path_rate));
    for (std::int64_t k = 0; k < s.depth[stage]; ++k)
      blocks.emplace(s, stage, std::min(s.window_size[stage], map));
    child("blocks", blocks);
  }
  at::Tensor operator()(at::Tensor x) const {
    if (downsample) x = (*downsample)(x);
    for (const auto& block : blocks) x = (*block)(x);
    return x;
  }
};

class EfficientVit : public Network {
 public:
  explicit EfficientVit(EfficientVitSpec spec)
      : spec_(std::move(spec)),
        norm_(spec_.embed_dim.back()),
        linear_(spec_.embed_dim.back(), spec_.num_classes) {
    std::int64_t in = 3, map = spec_.img_size;
    for (int i = 1; i <= 4; ++i, map = (map - 1) / 2 + 1) {
      const std::int64_t out = spec_.embed_dim[0] * (1 << i) / 16;
      child("patch_embed.conv" + std::to_string(i),
            *stem_.emplace_back(std::make_unique<ConvNorm>(in, out, 3, 2)));
      in = out;
    }
    for (std::size_t s = 0; s < spec_.embed_dim.size(); ++s) {
      if (s > 0) map = (map - 1) / 2 + 1;
      stages_.emplace(spec_, s, map);
    }
    children({{"stages", stages_}, {"head.bn", norm_}, {"head.linear", linear_}});
    set_init([](const std::string& key, at::IntArrayRef) -> std::optional<Init> {
      if (key == "head.linear.weight") return Init::truncated_normal(0.02);
      if (key == "head.linear.bias") return Init::zeros();
      // Every branch of a block starts as nothing.
      const auto within = [&](const char* part) { return key.find(part) != std::string::npos; };
      const bool last = within(".dw0.") || within(".dw1.") || within(".pw2.") || within(".proj.");
      return last && key.ends_with(".bn.weight") ? std::optional(Init::zeros()) : std::nullopt;
    });
  }

  Result forward(const std::vector<at::Tensor>& inputs) override {
    at::Tensor x = inputs.at(0);
    for (const auto& conv : stem_) x = (*conv)(conv == stem_.front() ? x : at::relu(x));
    tap("patch_embed", x);
    for (std::size_t s = 0; s < stages_.size(); ++s) tap("stages." + std::to_string(s), x = stages_[s](x));
    x = norm_(at::adaptive_avg_pool2d(x, {1, 1}).flatten(1));
    return linear_(dropped(x, spec_.drop_rate, training()));
  }

  std::vector<Example> examples() const override {
    return {{"x", {batch(), 3, spec_.img_size, spec_.img_size}}};
  }

 private:
  EfficientVitSpec spec_;
  std::vector<std::unique_ptr<ConvNorm>> stem_;
  ModuleList<Stage> stages_;
  BatchNorm norm_;
  Linear linear_;
};

std::string guess(const Shapes& shapes) {
  EfficientVitSpec s;
  s.embed_dim.clear(), s.key_dim.clear(), s.depth.clear(), s.num_heads.clear(), s.window_size.clear();
  s.kernels.clear();
  const auto stage = [](std::size_t i) { return "stages." + std::to_string(i) + ".blocks."; };
  for (std::size_t i = 0; shapes.has(stage(i) + "0.dw0.m.conv.weight"); ++i) {
    const std::string attn = stage(i) + "0.mixer.m.attn.";
    s.embed_dim.push_back(shapes.dim(attn + "proj.1.conv.weight", 0));
    s.key_dim.push_back(shapes.dim(attn + "dws.0.conv.weight", 0));
    s.depth.push_back(shapes.count(stage(i), ".dw0.m.conv.weight"));
    s.num_heads.push_back(shapes.count(attn + "qkvs.", ".conv.weight"));
    s.window_size.push_back(square_root(shapes.dim(attn + "attention_biases", 1)));
    for (std::int64_t h = std::ssize(s.kernels); h < s.num_heads.back(); ++h)
      s.kernels.push_back(shapes.dim(attn + "dws." + std::to_string(h) + ".conv.weight", 2));
  }
  s.num_classes = shapes.dim("head.linear.weight", 0);
  return spec_to_json(s);
}

/// The authors' files: c for conv, l for linear, the stem numbered by position (with its activations).
std::string rename(const std::string& key) {
  std::string out = std::regex_replace(key, std::regex(R"(\.c\.)"), ".conv.");
  out = std::regex_replace(out, std::regex(R"(\.l\.)"), ".linear.");
  static const std::regex stem(R"(^patch_embed\.([0246])\.)");
  if (std::smatch found; std::regex_search(out, found, stem))
    return "patch_embed.conv" + std::to_string(std::stoi(found[1]) / 2 + 1) + "." + found.suffix().str();
  return out;
}

}  // namespace

Family efficientvit_msra() {
  Family f = make_family<EfficientVitSpec, EfficientVit>(
      "efficientvit_msra", "EfficientViT M0 to M5: cascaded group attention, with timm's keys");
  const auto add = [&](const char* name, const char* sizes, std::int64_t parameters) {
    f.published.push_back({name, sizes, parameters});
  };
  add("efficientvit_m0", "{}", 2'349'436);
  add("efficientvit_m1", R"({"embed_dim":[128,144,192],"num_heads":[2,3,3],"kernels":[7,5,3,3]})", 2'980'560);
  add("efficientvit_m2", R"({"embed_dim":[128,192,224],"num_heads":[4,3,2],"kernels":[7,5,3,3]})", 4'187'554);
  add("efficientvit_m3", R"({"embed_dim":[128,240,320],"num_heads":[4,3,4]})", 6'900'722);
  add("efficientvit_m4", R"({"embed_dim":[128,256,384],"kernels":[7,5,3,3]})", 8'804'228);
  add("efficientvit_m5",
      R"({"embed_dim":[192,288,384],"depth":[1,3,4],"num_heads":[3,3,4],"kernels":[7,5,3,3]})", 12'473'772);
  f.golden_archs = {"efficientvit_*"};
  f.small_specs = {
      R"({"img_size":64,"embed_dim":[16,32,48],"key_dim":[4,4,8],"depth":[1,1,2],"num_heads":[2,4,3],
          "kernels":[5,3,3,7],"num_classes":10})",
      R"({"img_size":96,"embed_dim":[16,24],"key_dim":[8,4],"depth":[1,1],"num_heads":[2,2],"window_size":[5,2],
          "kernels":[3,3],"num_classes":7,"drop_rate":0.1,"drop_path_rate":0.1})"};
  f.spec_from_shapes = guess;
  f.rename = rename;
  f.ignored = {"attention_bias_idxs"};
  f.golden_taps = [](std::string_view) -> std::vector<std::string> {
    return {"patch_embed", "stages.0", "stages.1", "stages.2", "output"};
  };
  return f;
}

}  // namespace pollard::models
