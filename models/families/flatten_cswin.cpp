// SPDX-License-Identifier: Apache-2.0
#include <ATen/ops/cat.h>

#include <numeric>

#include "models/families/flatten.h"
#include "models/families/flatten_cswin_spec.h"
#include "models/layers/focused_attention.h"
#include "models/layers/vision_transformer.h"

namespace pollard::models {
namespace {

/// One branch: attention in stripes, plus a depthwise 3x3 convolution of the values within each (LePE).
struct Branch : Module {
  std::int64_t heads;
  Grid window;
  Conv2d get_v;
  std::optional<FocusedAttention> focused;
  double dropout;
  Branch(const FlattenCswinSpec& s, std::size_t stage, Grid stripe)
      : heads(s.num_heads[stage] / s.branches(stage)),
        window(stripe),
        get_v(width(s, stage), width(s, stage), 3, {.padding = 1, .groups = width(s, stage)}),
        dropout(s.attn_drop_rate) {
    if (s.linear(stage))
      child("", focused.emplace(FocusedAttention::Options{.width = width(s, stage),
                                                          .heads = heads,
                                                          .keys = stripe.positions(),
                                                          .kernel = s.kernel_size,
                                                          .factor = s.focusing_factor}));
    child("get_v", get_v);
  }
  /// q, k, v [B, H, W, C of the branch].
  at::Tensor operator()(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) const {
    const Windows qs(q, window), ks(k, window), vs(v, window);
    const at::Tensor image = vs.parts().transpose(1, 2).reshape({vs.count(), v.size(3), window.h, window.w});
    const at::Tensor local = get_v(image).flatten(2).transpose(1, 2);
    return qs.join(attend(qs.parts(), ks.parts(), vs.parts()).add(local));
  }

 private:
  static std::int64_t width(const FlattenCswinSpec& s, std::size_t stage) {
    return s.width(stage) / s.branches(stage);
  }
  at::Tensor attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) const {
    if (focused) return (*focused)(q, k, v, window);
    return merge_heads(attention(split_heads(q, heads), split_heads(k, heads), split_heads(v, heads),
                                 {.dropout = training() ? dropout : 0}));
  }
};

struct Block : Module {
  LayerNorm norm1;
  Linear qkv;
  ModuleList<Branch> attns;
  Linear proj;
  LayerNorm norm2;
  Mlp mlp;
  double drop;
  Block(const FlattenCswinSpec& s, std::size_t stage, double drop_rate)
      : norm1(s.width(stage)),
        qkv(s.width(stage), 3 * s.width(stage), s.qkv_bias ? Bias::Yes : Bias::No),
        proj(s.width(stage), s.width(stage)),
        norm2(s.width(stage)),
        mlp(s.width(stage), static_cast<std::int64_t>(static_cast<double>(s.width(stage)) * s.mlp_ratio)),
        drop(drop_rate) {
    const std::int64_t side = s.side(stage), split = s.split(stage);
    mlp.dropout = s.drop_rate;
    if (s.branches(stage) == 1) {
      attns.emplace(s, stage, Grid{side, side});
    } else {
      attns.emplace(s, stage, Grid{side, split});
      attns.emplace(s, stage, Grid{split, side});
    }
    children(
        {{"qkv", qkv}, {"norm1", norm1}, {"proj", proj}, {"attns", attns}, {"mlp", mlp}, {"norm2", norm2}});
  }
  at::Tensor operator()(const at::Tensor& x) const {
    const auto parts = qkv(norm1(x)).chunk(3, -1);
    const at::Tensor y = x.add(drop_path(proj(mixed(parts[0], parts[1], parts[2])), drop, training()));
    return y.add(drop_path(mlp(norm2(y)), drop, training()));
  }

 private:
  at::Tensor mixed(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) const {
    if (attns.size() == 1) return attns[0](q, k, v);
    const auto qs = q.chunk(2, -1), ks = k.chunk(2, -1), vs = v.chunk(2, -1);
    return at::cat({attns[0](qs[0], ks[0], vs[0]), attns[1](qs[1], ks[1], vs[1])}, -1);
  }
};

class FlattenCswin : public Network {
 public:
  explicit FlattenCswin(FlattenCswinSpec spec)
      : spec_(std::move(spec)),
        stem_(3, spec_.embed_dim, 7, {.stride = 4, .padding = 2}),
        norm_(spec_.width(3)),
        head_(spec_.width(3), spec_.num_classes) {
    child("stage1_conv_embed.0", stem_);
    std::int64_t before = 0;
    const std::int64_t all = std::accumulate(spec_.depth.begin(), spec_.depth.end(), std::int64_t{0});
    for (std::size_t i = 0; i < 4; ++i) {
      const std::string number = std::to_string(i + 1);
      if (i > 0)
        child("merge" + std::to_string(i) + ".conv",
              *merges_.emplace_back(std::make_unique<Conv2d>(spec_.width(i - 1), spec_.width(i), 3,
                                                             ConvOptions<2>{.stride = 2, .padding = 1})));
      child(i == 0 ? "stage1_conv_embed.2" : "merge" + std::to_string(i) + ".norm",
            *norms_.emplace_back(std::make_unique<LayerNorm>(spec_.width(i))));
      for (std::int64_t k = 0; k < spec_.depth[i]; ++k)
        stages_[i].emplace(spec_, i, drop_path_at(spec_.drop_path_rate, before++, all));
      child("stage" + number, stages_[i]);
    }
    children({{"norm", norm_}, {"head", head_}});
    set_init([](const std::string& key, at::IntArrayRef shape) -> std::optional<Init> {
      if (shape.size() == 2) return Init::truncated_normal(0.02);
      const bool linear = key.find("qkv") != std::string::npos || key.find("proj") != std::string::npos ||
                          key.find("mlp") != std::string::npos || key.starts_with("head");
      return linear && key.ends_with(".bias") ? std::optional(Init::zeros()) : std::nullopt;
    });
  }

  Result forward(const std::vector<at::Tensor>& inputs) override {
    at::Tensor x = stem_(inputs.at(0));
    for (std::size_t i = 0; i < 4; ++i) {
      if (i > 0) x = (*merges_[i - 1])(x.permute({0, 3, 1, 2}));
      x = (*norms_[i])(x.permute({0, 2, 3, 1}));
      for (const auto& block : stages_[i]) x = (*block)(x);
    }
    return head_(dropped(norm_(x).mean({1, 2}), spec_.drop_rate, training()));
  }

  std::vector<Example> examples() const override {
    return {{"x", {batch(), 3, spec_.img_size, spec_.img_size}}};
  }

 private:
  FlattenCswinSpec spec_;
  Conv2d stem_;
  std::vector<std::unique_ptr<Conv2d>> merges_;
  std::vector<std::unique_ptr<LayerNorm>> norms_;
  std::array<ModuleList<Block>, 4> stages_;
  LayerNorm norm_;
  Linear head_;
};

std::string guess(const Shapes& shapes) {
  FlattenCswinSpec s;
  s.embed_dim = shapes.dim("stage1_conv_embed.0.weight", 0);
  s.num_classes = shapes.dim("head.weight", 0);
  s.qkv_bias = shapes.has("stage1.0.qkv.bias");
  for (std::size_t i = 0; i < 4; ++i) {
    const std::string stage = "stage" + std::to_string(i + 1) + ".", attn = stage + "0.attns.0.";
    s.depth[i] = shapes.count(stage, ".norm1.weight");
    s.attn_type[i] = shapes.has(attn + "scale") ? 'L' : 'S';
    s.num_heads[i] = i > 0 ? 2 * s.num_heads[i - 1] : std::max<std::int64_t>(1, s.embed_dim / 32);
    if (!s.linear(i)) continue;
    s.num_heads[i] = s.width(i) / std::max<std::int64_t>(1, shapes.dim(attn + "dwc.weight", 0));
    s.kernel_size = shapes.dim(attn + "dwc.weight", 3);
    if (i == 0) s.img_size = 4 * square_root(shapes.dim(attn + "positional_encoding", 1));
  }
  const std::int64_t side = s.side(0);
  s.la_split_size = std::to_string(side);
  for (std::size_t i = 1; i < 4; ++i) s.la_split_size += "-" + std::to_string(s.side(i));
  if (s.img_size == 384) s.split_size = {1, 2, 12, 12};
  return spec_to_json(s);
}

}  // namespace

Family flatten_cswin() {
  Family f =
      make_family<FlattenCswinSpec, FlattenCswin>("flatten_cswin", "CSwin with focused linear attention");
  const std::string base = R"({"embed_dim":96,"depth":[3,6,29,2],"num_heads":[4,8,16,32])";
  f.published = {
      {"flatten_cswin_t", "{}", 21'201'768},
      {"flatten_cswin_s", R"({"depth":[2,4,32,2]})", 35'451'752},
      {"flatten_cswin_b", base + "}", 74'867'032},
      {"flatten_cswin_b_384",
       base + R"(,"img_size":384,"split_size":[1,2,12,12],"la_split_size":"96-48-24-12"})", 78'369'112}};
  f.golden_archs = {"flatten_cswin", "flatten_cswin_*"};
  f.small_specs = {
      R"({"img_size":64,"embed_dim":16,"depth":[1,1,1,1],"split_size":[1,2,2,2],"num_heads":[2,4,4,8],
                       "la_split_size":"16-8-4-2","num_classes":10})",
      R"({"img_size":64,"embed_dim":8,"depth":[1,1,1,1],"split_size":[1,2,2,2],"num_heads":[2,2,2,2],
                       "la_split_size":"16-8-4-2","attn_type":"LSSL","num_classes":10,"drop_rate":0.1,
                       "attn_drop_rate":0.1,"qkv_bias":false})"};
  f.spec_from_shapes = guess;
  return f;
}

}  // namespace pollard::models
