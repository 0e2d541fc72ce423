// SPDX-License-Identifier: Apache-2.0
#include <ATen/ops/cat.h>

#include "models/families/vision_lstm_parts.h"

namespace pollard::models {
namespace {

struct VisionLstm2Spec : VilSpec {
  std::string pooling = "bilateral_flatten", conv_kind = "2d", init_weights = "original";
  bool proj_bias = true, norm_bias = true;
  VisionLstm2Spec() { depth = 12; }

  void fields(Fields& f) {
    common_fields(f);
    f.text("pooling", pooling, {"bilateral_flatten", "bilateral_avg", "none", "to_image"});
    f.text("conv_kind", conv_kind, {"2d", "causal1d"});
    f.text("init_weights", init_weights, {"original", "original-fixed"});
    f.flag("proj_bias", proj_bias);
    f.flag("norm_bias", norm_bias);
    f.require(classifies() == pooling.starts_with("bilateral"),
              "mode classifier pools bilaterally, mode features gives tokens (pooling none) or to_image");
  }
  std::int64_t pooled() const { return pooling == "bilateral_flatten" ? 2 * dim : dim; }
};

/// The package stores a conv_kernel_size and builds every convolution with 3.
constexpr std::int64_t kKernel = 3;

/// Forwards, then backwards over the tokens.
struct Pair : Module {
  VilBlock forth, back;
  Pair(const VisionLstm2Spec& s, std::int64_t i)
      : forth(options(s, i, Traversal::Rows)), back(options(s, i, Traversal::RowsBack)) {
    children({{"rowwise_from_top_left", forth}, {"rowwise_from_bot_right", back}});
  }
  at::Tensor operator()(const at::Tensor& x) const { return back(forth(x)); }

 private:
  static VilBlock::Options options(const VisionLstm2Spec& s, std::int64_t i, Traversal traversal) {
    VilBlock::Options o = s.block(i);
    o.traversal = traversal;
    o.norm_bias = o.layer.branch.cell.norm_bias = s.norm_bias ? Bias::Yes : Bias::No;
    o.layer.branch.bias = s.proj_bias ? Bias::Yes : Bias::No;
    o.layer.branch.conv = "conv";
    o.layer.branch.conv2d = s.conv_kind == "2d";
    o.layer.branch.kernel = kKernel;
    return o;
  }
};

class VisionLstm2 : public Network {
 public:
  explicit VisionLstm2(VisionLstm2Spec spec)
      : spec_(std::move(spec)),
        embedding_(spec_),
        norm_(spec_.dim, spec_.norm_bias ? Bias::Yes : Bias::No, 1e-6) {
    child("", embedding_);
    for (std::int64_t i = 0; i < spec_.depth; ++i) blocks_.emplace(spec_, i);
    children({{"blocks", blocks_}, {"norm", norm_}});
    if (spec_.legacy_norm) child("legacy_norm", legacy_norm_.emplace(spec_.pooled()));
    if (spec_.classifies()) child("head", head_.emplace(spec_.pooled(), spec_.output_shape[0]));
    const std::int64_t blocks = spec_.init_weights == "original" ? 1 : 2 * spec_.depth;
    set_init([dim = spec_.dim, blocks](const std::string& key, at::IntArrayRef shape) -> std::optional<Init> {
      if (key == "head.weight") return Init::truncated_normal(2e-5);
      if (key == "head.bias") return Init::zeros();
      return vil_init(key, shape, dim, blocks);
    });
  }

  Result forward(const std::vector<at::Tensor>& inputs) override {
    at::Tensor x = embedding_(inputs.at(0));
    tap("tokens after pos_embed", x);
    for (std::size_t i = 0; i < blocks_.size(); ++i) {
      x = blocks_[i](x);
      tap("tokens after blocks." + std::to_string(i), x);
    }
    x = pool(norm_(x));
    if (legacy_norm_) x = (*legacy_norm_)(x);
    if (head_) return (*head_)(x);
    if (spec_.pooling == "none") return x;
    return x.transpose(1, 2).reshape({x.size(0), spec_.dim, spec_.map().h, spec_.map().w});
  }

  std::vector<Example> examples() const override {
    const auto& shape = spec_.input_shape;
    return {{"x", {batch(), shape[0], shape[1], shape[2]}}};
  }

 private:
  at::Tensor pool(const at::Tensor& x) const {
    if (!spec_.classifies()) return x;
    const at::Tensor first = x.select(1, 0), last = x.select(1, spec_.map().positions() - 1);
    return spec_.pooling == "bilateral_avg" ? first.add(last).div(2) : at::cat({first, last}, 1);
  }

  VisionLstm2Spec spec_;
  VilEmbedding embedding_;
  ModuleList<Pair> blocks_;
  ResidualLayerNorm norm_;
  std::optional<LayerNorm> legacy_norm_;
  std::optional<Linear> head_;
};

std::string guess(const Shapes& shapes) {
  VisionLstm2Spec s;
  guess_common(s, shapes);
  const std::string first = "blocks.0.rowwise_from_top_left.";
  s.depth = shapes.count("blocks.", ".rowwise_from_top_left.norm.weight");
  s.conv_kind = shapes.has(first + "layer.conv.conv.weight") ? "causal1d" : "2d";
  s.proj_bias = shapes.has(first + "layer.proj_up.bias");
  s.norm_bias = shapes.has(first + "norm.bias");
  if (!s.classifies())
    s.pooling = "none";
  else if (shapes.dim("head.weight", 1) == s.dim)
    s.pooling = "bilateral_avg";
  return spec_to_json(s);
}

/// The training code's names, in which checkpoints are published: blocks are counted singly there.
std::string rename(const std::string& key) {
  std::string name = key.starts_with("xlstm.") ? key.substr(6) : key;
  const auto replace = [&name](std::string_view old, std::string_view now) {
    const auto at = name.find(old);
    if (at != std::string::npos) name.replace(at, old.size(), now);
    return at != std::string::npos;
  };
  const bool layer = replace(".xlstm.", ".layer."), norm = replace(".xlstm_norm.", ".norm.");
  if (name.starts_with("blocks.") && (layer || norm)) {
    replace(".conv1d.", ".conv.");
    const std::size_t end = name.find('.', 7);
    const std::int64_t block = std::atoll(name.c_str() + 7);
    name = "blocks." + std::to_string(block / 2) +
           (block % 2 == 0 ? ".rowwise_from_top_left" : ".rowwise_from_bot_right") + name.substr(end);
  }
  if (name.starts_with("post_blocks_norm.")) replace("post_blocks_norm.", "norm.");
  if (name.starts_with("head.0.")) replace("head.0.", "legacy_norm.");
  if (name.starts_with("head.1.")) replace("head.1.", "head.");
  return name;
}

}  // namespace

Family vision_lstm2() {
  Family f = make_family<VisionLstm2Spec, VisionLstm2>("vision_lstm2", "Vision-LSTM (ViL), version 2");
  f.published = {{"vil2-tiny", R"({"legacy_norm":true})", 6'391'528},
                 {"vil2-small", R"({"dim":384,"legacy_norm":true})", 23'398'696},
                 {"vil2-base", R"({"dim":768,"legacy_norm":true})", 89'263'528}};
  f.golden_archs = {"vision_lstm2"};
  const std::string tiny =
      R"({"dim":16,"input_shape":[3,16,24],"patch_size":8,"depth":1,"output_shape":[10])";
  f.small_specs = {
      tiny + R"(,"legacy_norm":true})", tiny + R"(,"pooling":"bilateral_avg","legacy_norm":true,"stride":4})",
      tiny +
          R"(,"conv_kind":"causal1d","proj_bias":false,"norm_bias":false,"init_weights":"original-fixed"})",
      tiny +
          R"(,"mode":"features","pooling":"to_image","drop_path_rate":0.1,"mlstm":"chunkwise","mlstm_chunk":5})",
      tiny + R"(,"mode":"features","pooling":"none","pos_grid":[4,4]})"};
  f.spec_from_shapes = guess;
  f.spec_from_config = vil_config;
  f.rename = rename;
  return f;
}

}  // namespace pollard::models
