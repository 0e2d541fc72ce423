// SPDX-License-Identifier: Apache-2.0
#include "models/families/vision_lstm.h"

#include <ATen/ops/cat.h>

#include <nlohmann/json.hpp>

#include "models/families/vision_lstm_parts.h"

namespace pollard::models {
namespace {

struct VisionLstmSpec : VilSpec {
  std::string pooling = "bilateral_avg", cls_location = "middle";
  std::int64_t cls_tokens = 0;

  void fields(Fields& f) {
    common_fields(f);
    f.text("pooling", pooling, {"bilateral_avg", "bilateral_flatten", "avg", "middle_patch", "cls"});
    f.text("cls_location", cls_location, {"middle", "bilateral"});
    f.integer("cls_tokens", cls_tokens, {0, 1024});
    f.require((cls_tokens > 0) == (pooling == "cls"), "pooling cls has cls_tokens, no other has");
    f.require(pooling != "cls" || cls_location == "middle" || cls_tokens == 2,
              "cls_location bilateral has 2 cls_tokens");
  }
  bool bilateral_cls() const { return pooling == "cls" && cls_location == "bilateral"; }
  /// Width of what the head reads.
  std::int64_t pooled() const { return pooling == "bilateral_flatten" || bilateral_cls() ? 2 * dim : dim; }
  std::int64_t tokens() const { return map().positions() + cls_tokens; }
};

class VisionLstm : public Network {
 public:
  explicit VisionLstm(VisionLstmSpec spec)
      : spec_(std::move(spec)), embedding_(spec_), norm_(spec_.pooled(), 1e-6) {
    child("", embedding_);
    if (spec_.cls_tokens > 0)
      parameter("cls_tokens.tokens", cls_, {1, spec_.cls_tokens, spec_.dim}, Init::truncated_normal(0.02));
    for (std::int64_t i = 0; i < spec_.depth; ++i) {
      VilBlock::Options block = spec_.block(i);
      block.traversal = i % 2 == 0 ? Traversal::Rows : Traversal::RowsBack;
      blocks_.emplace(block);
    }
    child("blocks", blocks_);
    if (spec_.legacy_norm) child("legacy_norm", legacy_norm_.emplace(spec_.dim, Bias::No));
    child("norm", norm_);
    if (spec_.classifies()) child("head", head_.emplace(spec_.pooled(), spec_.output_shape[0]));
    set_init([dim = spec_.dim](const std::string& key, at::IntArrayRef shape) -> std::optional<Init> {
      if (key == "head.weight") return Init::truncated_normal(2e-5);
      if (key == "head.bias") return Init::zeros();
      return vil_init(key, shape, dim, 1);
    });
  }

  Result forward(const std::vector<at::Tensor>& inputs) override {
    at::Tensor x = embedding_(inputs.at(0));
    tap("tokens after pos_embed", x);
    if (cls_.defined()) x = with_cls(x);
    for (std::size_t i = 0; i < blocks_.size(); ++i) {
      x = blocks_[i](x);
      tap("tokens after blocks." + std::to_string(i), x);
    }
    if (legacy_norm_) x = (*legacy_norm_)(x);
    return head_ ? (*head_)(norm_(pool(x))) : norm_(x);
  }

  std::vector<Example> examples() const override {
    const auto& shape = spec_.input_shape;
    return {{"x", {batch(), shape[0], shape[1], shape[2]}}};
  }

 private:
  /// In the middle, or one at each end.
  at::Tensor with_cls(const at::Tensor& x) const {
    const at::Tensor cls = cls_.expand({x.size(0), spec_.cls_tokens, x.size(2)});
    if (spec_.bilateral_cls()) return at::cat({cls.slice(1, 0, 1), x, cls.slice(1, 1, 2)}, 1);
    const std::int64_t half = (spec_.map().positions() + 1) / 2;
    return at::cat({x.slice(1, 0, half), cls, x.slice(1, half)}, 1);
  }
  at::Tensor pool(const at::Tensor& x) const {
    const std::int64_t last = spec_.tokens() - 1;
    if (spec_.pooling == "avg") return x.mean(1);
    if (spec_.pooling == "middle_patch") return x.select(1, spec_.tokens() / 2);
    if (spec_.pooling == "bilateral_avg") return x.select(1, 0).add(x.select(1, last)).div(2);
    if (spec_.pooled() == 2 * spec_.dim) return at::cat({x.select(1, 0), x.select(1, last)}, 1);
    return x.select(1, spec_.tokens() / 2 - spec_.cls_tokens / 2);
  }

  VisionLstmSpec spec_;
  VilEmbedding embedding_;
  at::Tensor cls_;
  ModuleList<VilBlock> blocks_;
  std::optional<ResidualLayerNorm> legacy_norm_;
  LayerNorm norm_;
  std::optional<Linear> head_;
};

std::string guess(const Shapes& shapes) {
  VisionLstmSpec s;
  guess_common(s, shapes);
  s.depth = shapes.count("blocks.", ".layer.conv1d.conv.weight");
  const bool two = shapes.dim("norm.weight", 0) == 2 * s.dim;
  if (shapes.has("cls_tokens.tokens")) {
    s.pooling = "cls";
    s.cls_tokens = shapes.dim("cls_tokens.tokens", 1);
    s.cls_location = two ? "bilateral" : "middle";
  } else if (two) {
    s.pooling = "bilateral_flatten";
  }
  return spec_to_json(s);
}

/// The training code's names, in which checkpoints are published.
std::string rename(const std::string& key) {
  std::string name = key.starts_with("xlstm.") ? key.substr(6) : key;
  const auto replace = [&name](std::string_view old, std::string_view now) {
    if (const auto at = name.find(old); at != std::string::npos) name.replace(at, old.size(), now);
  };
  replace(".xlstm.", ".layer.");
  replace(".xlstm_norm.", ".norm.");
  if (name.starts_with("post_blocks_norm.")) replace("post_blocks_norm.", "legacy_norm.");
  if (name.starts_with("head.0.")) replace("head.0.", "norm.");
  if (name.starts_with("head.1.")) replace("head.1.", "head.");
  return name;
}

}  // namespace

std::string vil_config(std::string_view config, std::string_view arch, const Shapes& /*shapes*/) {
  auto json = nlohmann::json::parse(config, nullptr, false);
  if (!json.is_object()) return std::string(config);
  if (!arch.empty()) json["mlstm"] = "parallel";
  return json.dump();
}

Family vision_lstm() {
  Family f = make_family<VisionLstmSpec, VisionLstm>("vision_lstm", "Vision-LSTM (ViL), version 1");
  f.published = {
      {"vil-tiny", R"({"legacy_norm":true})", 6'088'360},
      {"vil-tinyplus", R"({"depth":29,"legacy_norm":true})", 7'277'840},
      {"vil-tinyplus-stride8", R"({"depth":29,"stride":8,"legacy_norm":true})", 7'277'840},
      {"vil-small", R"({"dim":384,"legacy_norm":true})", 22'792'360},
      {"vil-smallplus", R"({"dim":384,"depth":26,"legacy_norm":true})", 24'628'664},
      {"vil-smallplus-stride8", R"({"dim":384,"depth":26,"stride":8,"legacy_norm":true})", 24'628'664},
      {"vil-base", R"({"dim":768,"legacy_norm":true})", 88'050'856},
      {"vil-base-stride8", R"({"dim":768,"stride":8,"legacy_norm":true})", 88'050'856}};
  f.golden_archs = {"vision_lstm", "vision_lstm_pool"};
  const std::string tiny =
      R"({"dim":16,"input_shape":[3,16,16],"patch_size":4,"depth":2,"output_shape":[10])";
  f.small_specs = {
      tiny + R"(,"legacy_norm":true})",
      tiny + R"(,"legacy_norm":true,"pooling":"bilateral_flatten","mlstm":"chunkwise","mlstm_chunk":5})",
      tiny + R"(,"pooling":"avg","drop_path_rate":0.1,"drop_path_decay":true})",
      tiny + R"(,"pooling":"middle_patch","stride":2})",
      tiny + R"(,"pooling":"cls","cls_tokens":1,"legacy_norm":true,"pos_grid":[3,5]})",
      tiny + R"(,"pooling":"cls","cls_tokens":2,"cls_location":"bilateral","legacy_norm":true})",
      tiny + R"(,"mode":"features"})"};
  f.spec_from_shapes = guess;
  f.spec_from_config = vil_config;
  f.rename = rename;
  return f;
}

}  // namespace pollard::models
