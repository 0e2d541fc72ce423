// SPDX-License-Identifier: Apache-2.0
#include "models/families/setformer.h"

#include <algorithm>

#include "models/layers/attention.h"
#include "models/layers/conv.h"
#include "models/layers/optimal_transport.h"
#include "models/layers/vision_transformer.h"
#include "models/layers/windows.h"

namespace pollard::models {
namespace {

/// What both networks' attention has.
struct TransportSpec {
  std::int64_t refs = 49, anchors = 0, iters = 5, num_classes = 1000;
  double eps = 0.1, alpha = 1, sigma = 0;

  void transport_fields(Fields& f) {
    f.integer("refs", refs, {1, 1 << 12});
    f.integer("anchors", anchors, {0, 1 << 12});
    f.integer("iters", iters, {1, 256});
    f.integer("num_classes", num_classes);
    f.real("eps", eps);
    f.real("alpha", alpha);
    f.real("sigma", sigma);
    f.require(eps > 0, "eps is positive");
    f.require(alpha > 0, "alpha is positive");
    f.require(sigma >= 0, "sigma is 0 or positive");
  }
  TransportAttention::Options attention(std::int64_t width, std::int64_t heads, bool on_map) const {
    return {.width = width,
            .heads = heads,
            .references = refs,
            .anchors = anchors,
            .eps = eps,
            .alpha = alpha,
            .sigma = sigma,
            .iterations = iters,
            .on_map = on_map};
  }
};

std::int64_t hidden(std::int64_t width, double ratio) {
  return static_cast<std::int64_t>(static_cast<double>(width) * ratio);
}

struct SetformerSpec : TransportSpec {
  std::int64_t img_size = 224, dim = 64;
  std::vector<std::int64_t> depths{3, 4, 18, 5}, heads{2, 4, 8, 16};
  double mlp_ratio = 3;

  void fields(Fields& f) {
    f.integer("img_size", img_size, {8, 1 << 13});
    f.integer("dim", dim, {2, 1 << 14});
    f.integers("depths", depths, {1, 256}, 8);
    f.integers("heads", heads, {1, 1024}, 8);
    f.real("mlp_ratio", mlp_ratio);
    transport_fields(f);
    f.require(!depths.empty() && depths.size() == heads.size(), "depths and heads have an entry a stage");
    f.require(dim % 2 == 0, "dim is even");
    f.require(mlp_ratio > 0 && mlp_ratio <= 64, "mlp_ratio lies in (0, 64]");
    f.require(sigma == 0 || square_root(refs) * square_root(refs) == refs,
              "with sigma, refs is a square: the references stand on a grid");
    for (std::size_t i = 0; i < depths.size(); ++i)
      f.require(width(i) % heads[i] == 0, "heads divides the stage's width");
  }
  std::int64_t width(std::size_t stage) const { return dim << stage; }
};

struct TextSpec : TransportSpec {
  std::int64_t vocab = 30522, dim = 256, depth = 4, heads = 4;
  double mlp_ratio = 4;

  void fields(Fields& f) {
    f.integer("vocab", vocab);
    f.integer("dim", dim, {1, 1 << 14});
    f.integer("depth", depth, {1, 1024});
    f.integer("heads", heads, {1, 1024});
    f.real("mlp_ratio", mlp_ratio);
    transport_fields(f);
    f.require(dim % heads == 0, "heads divides dim");
    f.require(mlp_ratio > 0 && mlp_ratio <= 64, "mlp_ratio lies in (0, 64]");
  }
};

struct Block : Module {
  LayerNorm norm1;
  TransportAttention attn;
  LayerNorm norm2;
  Mlp mlp;
  Block(const TransportAttention::Options& o, std::int64_t hidden)
      : norm1(o.width), attn(o), norm2(o.width), mlp(o.width, hidden) {
    children({{"norm1", norm1}, {"attn", attn}, {"norm2", norm2}, {"", mlp}});
  }
  at::Tensor operator()(const at::Tensor& x, const Places& places) const {
    const at::Tensor y = x.add(attn(norm1(x), places));
    return y.add(mlp(norm2(y)));
  }
};

at::Tensor to_map(const at::Tensor& tokens, Grid grid) {
  return tokens.transpose(1, 2).reshape({tokens.size(0), tokens.size(2), grid.h, grid.w});
}

class Setformer : public Network {
 public:
  explicit Setformer(SetformerSpec spec)
      : spec_(std::move(spec)),
        stem0_(3, spec_.dim / 2, 3, {.stride = 2, .padding = 1}),
        stem1_(spec_.dim / 2, spec_.dim, 3, {.stride = 2, .padding = 1}),
        stem_norm_(spec_.dim),
        norm_(spec_.width(spec_.depths.size() - 1)),
        head_(spec_.width(spec_.depths.size() - 1), spec_.num_classes) {
    children({{"stem.0", stem0_}, {"stem.1", stem1_}, {"stem_norm", stem_norm_}});
    for (std::size_t s = 0; s < spec_.depths.size(); ++s) {
      const std::int64_t width = spec_.width(s);
      auto& stage = stages_.emplace();
      for (std::int64_t b = 0; b < spec_.depths[s]; ++b)
        stage.emplace(spec_.attention(width, spec_.heads[s], true), hidden(width, spec_.mlp_ratio));
      if (s + 1 == spec_.depths.size()) break;
      down_.emplace(width, 2 * width, 3, ConvOptions<2>{.stride = 2, .padding = 1, .bias = Bias::No});
      down_norm_.emplace(2 * width);
    }
    children(
        {{"stages", stages_}, {"down", down_}, {"down_norm", down_norm_}, {"norm", norm_}, {"head", head_}});
  }

  Result forward(const std::vector<at::Tensor>& inputs) override {
    at::Tensor map = stem1_(stem0_(inputs.at(0))), x;
    for (std::size_t s = 0; s < stages_.size(); ++s) {
      if (s > 0) map = down_[s - 1](map);
      const Grid grid{map.size(2), map.size(3)};
      x = (s > 0 ? down_norm_[s - 1] : stem_norm_)(map.flatten(2).transpose(1, 2));
      const Places places = spec_.sigma > 0 ? places_on_map(grid.h, grid.w, x.options()) : Places{};
      for (const auto& block : stages_[s]) x = (*block)(x, places);
      if (s + 1 < stages_.size()) map = to_map(x, grid);
    }
    x = norm_(x);
    tap("normed tokens", x);
    return head_(x.mean(1));
  }

  std::vector<Example> examples() const override {
    return {{"x", {batch(), 3, spec_.img_size, spec_.img_size}}};
  }

 private:
  SetformerSpec spec_;
  Conv2d stem0_, stem1_;
  LayerNorm stem_norm_;
  ModuleList<ModuleList<Block>> stages_;
  ModuleList<Conv2d> down_;
  ModuleList<LayerNorm> down_norm_;
  LayerNorm norm_;
  Linear head_;
};

class SetformerText : public Network {
 public:
  explicit SetformerText(TextSpec spec)
      : spec_(spec), embed_(spec.vocab, spec.dim), norm_(spec.dim), head_(spec.dim, spec.num_classes) {
    for (std::int64_t i = 0; i < spec.depth; ++i)
      blocks_.emplace(spec.attention(spec.dim, spec.heads, false), hidden(spec.dim, spec.mlp_ratio));
    children({{"embed", embed_}, {"blocks", blocks_}, {"norm", norm_}, {"head", head_}});
  }

  Result forward(const std::vector<at::Tensor>& inputs) override {
    at::Tensor x = embed_(inputs.at(0));
    const Places places = spec_.sigma > 0 ? places_on_line(x.size(1), x.options()) : Places{};
    for (const auto& block : blocks_) x = (*block)(x, places);
    return head_(norm_(x).mean(1));
  }

  std::vector<Example> examples() const override {
    return {{"ids", {batch(), sequence()}, at::kLong, spec_.vocab}};
  }

 private:
  TextSpec spec_;
  Embedding embed_;
  ModuleList<Block> blocks_;
  LayerNorm norm_;
  Linear head_;
};

/// What both networks' shapes show in their first block.
template <class Spec>
void guess_block(const Shapes& shapes, const std::string& block, Spec& s) {
  s.refs = shapes.dim(block + "attn.reference", 1);
  s.anchors = shapes.has(block + "attn.anchor") ? shapes.dim(block + "attn.anchor", 1) : 0;
  s.num_classes = shapes.dim("head.weight", 0);
  s.mlp_ratio = static_cast<double>(shapes.dim(block + "fc1.weight", 0)) /
                static_cast<double>(std::max<std::int64_t>(1, s.dim));
}

std::string guess(const Shapes& shapes) {
  SetformerSpec s;
  s.dim = shapes.dim("stem_norm.weight", 0);
  s.depths.clear(), s.heads.clear();
  guess_block(shapes, "stages.0.0.", s);
  for (std::size_t i = 0;; ++i) {
    const std::string stage = "stages." + std::to_string(i) + ".";
    if (!shapes.has(stage + "0.norm1.weight")) break;
    s.depths.push_back(shapes.count(stage, ".norm1.weight"));
    s.heads.push_back(shapes.dim(stage + "0.attn.reference", 0));
  }
  return spec_to_json(s);
}

std::string guess_text(const Shapes& shapes) {
  TextSpec s;
  s.vocab = shapes.dim("embed.weight", 0);
  s.dim = shapes.dim("embed.weight", 1);
  s.depth = shapes.count("blocks.", ".norm1.weight");
  s.heads = shapes.dim("blocks.0.attn.reference", 0);
  guess_block(shapes, "blocks.0.", s);
  return spec_to_json(s);
}

}  // namespace

Family setformer() {
  Family f = make_family<SetformerSpec, Setformer>(
      "setformer", "SeTformer, a vision transformer that attends by transport");
  f.golden_archs = {"setformer"};
  const std::string tiny = R"({"dim":16,"depths":[1,1],"heads":[2,2],"num_classes":10)";
  f.small_specs = {
      tiny + R"(,"img_size":32,"refs":6,"mlp_ratio":2})",
      tiny + R"(,"img_size":24,"refs":9,"anchors":6,"sigma":0.5,"eps":0.3,"iters":3,"alpha":2})"};
  f.spec_from_shapes = guess;
  f.golden_taps = [](std::string_view) -> std::vector<std::string> { return {"normed tokens", "output"}; };
  return f;
}

Family setformer_text() {
  Family f = make_family<TextSpec, SetformerText>("setformer_text", "SeTformer over token ids");
  f.golden_archs = {"setformer_text"};
  const std::string tiny = R"({"vocab":50,"dim":24,"depth":2,"heads":2,"num_classes":3)";
  f.small_specs = {tiny + R"(,"refs":5,"anchors":5,"sigma":0.4})", tiny + R"(,"refs":4,"mlp_ratio":2})"};
  f.spec_from_shapes = guess_text;
  return f;
}

}  // namespace pollard::models
