// SPDX-License-Identifier: Apache-2.0
#include "models/families/vgg.h"

#include <ATen/ops/adaptive_avg_pool2d.h>
#include <ATen/ops/dropout.h>
#include <ATen/ops/max_pool2d.h>
#include <ATen/ops/relu.h>

#include <optional>

#include "models/layers/conv.h"
#include "models/layers/linear.h"
#include "models/layers/norm.h"

namespace pollard::models {
namespace {

struct CifarSpec {
  std::vector<std::vector<std::int64_t>> cfg{
      {64, 64}, {128, 128}, {256, 256, 256, 256}, {512, 512, 512, 512}, {512, 512, 512, 512}};
  bool batch_norm = true;
  std::int64_t num_classes = 100, image_size = 32;

  void fields(Fields& f) {
    f.integer_lists("cfg", cfg, {1, 1 << 16});
    f.flag("batch_norm", batch_norm);
    f.integer("num_classes", num_classes);
    f.integer("image_size", image_size, {8, 1024});
    f.require(cfg.size() == 5, "cfg has five blocks");
    for (const auto& block : cfg) f.require(!block.empty() && block.size() <= 256, "1 to 256 layers a block");
  }
};

/// conv, norm, relu, conv, norm, ...: the keys count the relus, and the last one is left to the caller.
struct Block : Module {
  std::vector<std::unique_ptr<Conv2d>> convs;
  std::vector<std::unique_ptr<BatchNorm>> norms;

  Block(std::int64_t in, const std::vector<std::int64_t>& widths, bool batch_norm) {
    const std::size_t step = batch_norm ? 3 : 2;
    for (std::size_t k = 0; k < widths.size(); in = widths[k++]) {
      convs.push_back(std::make_unique<Conv2d>(in, widths[k], 3, ConvOptions<2>{.padding = 1}));
      child(std::to_string(step * k), *convs.back());
      if (!batch_norm) continue;
      norms.push_back(std::make_unique<BatchNorm>(widths[k]));
      child(std::to_string(step * k + 1), *norms.back());
    }
  }
  at::Tensor operator()(at::Tensor x) const {
    for (std::size_t k = 0; k < convs.size(); ++k) {
      x = (*convs[k])(k > 0 ? at::relu(x) : x);
      if (!norms.empty()) x = (*norms[k])(x);
    }
    return x;
  }
};

std::optional<Init> vgg_init(const std::string& key, at::IntArrayRef shape) {
  if (shape.size() == 4) return Init::kaiming_normal_fan_out();
  if (shape.size() == 2) return Init::normal(0.01);
  return key.ends_with(".bias") ? std::optional(Init::zeros()) : std::nullopt;
}

class CifarVgg : public Network {
 public:
  explicit CifarVgg(CifarSpec spec)
      : spec_(std::move(spec)), classifier_(spec_.cfg.back().back(), spec_.num_classes) {
    std::int64_t in = 3;
    for (std::size_t b = 0; b < spec_.cfg.size(); in = spec_.cfg[b++].back())
      child("block" + std::to_string(b),
            *blocks_.emplace_back(std::make_unique<Block>(in, spec_.cfg[b], spec_.batch_norm)));
    child("classifier", classifier_);
    set_init(vgg_init);
  }

  Result forward(const std::vector<at::Tensor>& inputs) override {
    at::Tensor x = inputs.at(0);
    const std::size_t pools = x.size(2) == 64 ? 4 : 3;
    for (std::size_t b = 0; b < blocks_.size(); ++b) {
      x = at::relu((*blocks_[b])(x));
      tap("block" + std::to_string(b), x);
      if (b < pools) x = at::max_pool2d(x, {2, 2}, {2, 2});
    }
    return classifier_(at::adaptive_avg_pool2d(x, {1, 1}).flatten(1));
  }

  std::vector<Example> examples() const override {
    return {{"x", {batch(), 3, spec_.image_size, spec_.image_size}}};
  }

 private:
  CifarSpec spec_;
  std::vector<std::unique_ptr<Block>> blocks_;
  Linear classifier_;
};

std::string guess_cifar(const Shapes& shapes) {
  CifarSpec s;
  s.batch_norm = shapes.has("block0.1.running_mean");
  const std::int64_t step = s.batch_norm ? 3 : 2;
  for (std::size_t b = 0; b < s.cfg.size(); ++b) {
    s.cfg[b].clear();
    const auto key = [&](std::size_t k) {
      return "block" + std::to_string(b) + "." + std::to_string(step * static_cast<std::int64_t>(k)) +
             ".weight";
    };
    do s.cfg[b].push_back(shapes.dim(key(s.cfg[b].size()), 0));
    while (shapes.has(key(s.cfg[b].size())));
  }
  s.num_classes = shapes.dim("classifier.weight", 0);
  return spec_to_json(s);
}

/// torchvision's VGG, or timm's, whose first two fully connected layers are convolutions over the last map.
struct VggSpec {
  std::vector<std::vector<std::int64_t>> cfg{
      {64, 64}, {128, 128}, {256, 256, 256}, {512, 512, 512}, {512, 512, 512}};
  bool batch_norm = false;
  std::string head = "linear";
  std::int64_t hidden_size = 4096, num_classes = 1000, image_size = 224;
  double dropout = 0.5;

  void fields(Fields& f) {
    f.integer_lists("cfg", cfg, {1, 1 << 16});
    f.flag("batch_norm", batch_norm);
    f.text("head", head, {"linear", "convolution"});
    f.integer("hidden_size", hidden_size, {1, 1 << 16});
    f.integer("num_classes", num_classes);
    f.integer("image_size", image_size, {32, 4096});
    f.real("dropout", dropout);
    f.require(cfg.size() == 5, "cfg has five blocks");
    for (const auto& block : cfg) f.require(!block.empty() && block.size() <= 256, "1 to 256 layers a block");
  }
  bool convolutional() const { return head == "convolution"; }
};

constexpr std::int64_t kMap = 7;  ///< side of the map that the fully connected layers read

std::string feature(std::int64_t place) { return "features." + std::to_string(place); }

class Vgg : public Network {
 public:
  explicit Vgg(VggSpec spec) : spec_(std::move(spec)), last_(spec_.hidden_size, spec_.num_classes) {
    std::int64_t in = 3, place = 0;  // keys count ReLUs and pools
    for (const auto& block : spec_.cfg) {
      for (const std::int64_t width : block) {
        child(feature(place++),
              *convs_.emplace_back(std::make_unique<Conv2d>(in, width, 3, ConvOptions<2>{.padding = 1})));
        if (spec_.batch_norm)
          child(feature(place++), *norms_.emplace_back(std::make_unique<BatchNorm>(width)));
        ++place;
        in = width;
      }
      ++place;
    }
    if (spec_.convolutional()) {
      child("pre_logits.fc1", map1_.emplace(in, spec_.hidden_size, kMap));
      child("pre_logits.fc2", map2_.emplace(spec_.hidden_size, spec_.hidden_size, 1));
    } else {
      child("classifier.0", full1_.emplace(in * kMap * kMap, spec_.hidden_size));
      child("classifier.3", full2_.emplace(spec_.hidden_size, spec_.hidden_size));
    }
    child(spec_.convolutional() ? "head.fc" : "classifier.6", last_);
    set_init(vgg_init);
  }

  Result forward(const std::vector<at::Tensor>& inputs) override {
    at::Tensor x = inputs.at(0);
    std::size_t k = 0;
    for (std::size_t b = 0; b < spec_.cfg.size(); ++b) {
      for (std::size_t i = 0; i < spec_.cfg[b].size(); ++i, ++k) {
        x = (*convs_[k])(x);
        x = at::relu(norms_.empty() ? x : (*norms_[k])(x));
      }
      tap("block" + std::to_string(b), x = at::max_pool2d(x, {2, 2}, {2, 2}));
    }
    const auto dropped = [&](const at::Tensor& t) {
      return at::dropout(at::relu(t), spec_.dropout, training());
    };
    if (!spec_.convolutional()) {
      x = at::adaptive_avg_pool2d(x, {kMap, kMap}).flatten(1);
      return last_(dropped((*full2_)(dropped((*full1_)(x)))));
    }
    if (x.size(2) < kMap) x = at::adaptive_avg_pool2d(x, {kMap, kMap});
    x = dropped((*map2_)(dropped((*map1_)(x))));
    return last_(at::adaptive_avg_pool2d(x, {1, 1}).flatten(1));
  }

  std::vector<Example> examples() const override {
    return {{"x", {batch(), 3, spec_.image_size, spec_.image_size}}};
  }

 private:
  VggSpec spec_;
  std::vector<std::unique_ptr<Conv2d>> convs_;
  std::vector<std::unique_ptr<BatchNorm>> norms_;
  std::optional<Linear> full1_, full2_;
  std::optional<Conv2d> map1_, map2_;
  Linear last_;
};

/// A convolution follows the one before by a layer's places, or by one more where a pool lies between.
std::string guess_vgg(const Shapes& shapes) {
  if (shapes.dim("features.0.weight", -1) != 3) throw Shapes::Missing();
  VggSpec s;
  s.head = shapes.has("pre_logits.fc1.weight") ? "convolution" : "linear";
  s.batch_norm = shapes.has("features.1.running_mean");
  s.cfg = {{}};
  const auto there = [&](std::int64_t place) { return shapes.has(feature(place) + ".weight"); };
  for (std::int64_t place = 0; there(place) || there(place + 1); place += s.batch_norm ? 3 : 2) {
    if (!there(place)) s.cfg.emplace_back(), ++place;
    s.cfg.back().push_back(shapes.dim(feature(place) + ".weight", 0));
  }
  s.hidden_size = shapes.dim(s.convolutional() ? "pre_logits.fc1.weight" : "classifier.0.weight", 0);
  s.num_classes = shapes.dim(s.convolutional() ? "head.fc.weight" : "classifier.6.weight", 0);
  return spec_to_json(s);
}

}  // namespace

Family vgg() {
  const std::string small = R"({"cfg":[[64],[128],[256,256],[512,512],[512,512]])",
                    large =
                        R"({"cfg":[[64,64],[128,128],[256,256,256,256],[512,512,512,512],[512,512,512,512]])",
                    norms = R"(,"batch_norm":true})";
  Family f = make_family<VggSpec, Vgg>("vgg", "VGG with or without BatchNorm, torchvision's and timm's keys");
  f.published = {{"vgg11", small + "}", 132'863'336}, {"vgg11_bn", small + norms, 132'868'840},
                 {"vgg16", "{}", 138'357'544},        {"vgg16_bn", R"({"batch_norm":true})", 138'365'992},
                 {"vgg19", large + "}", 143'667'240}, {"vgg19_bn", large + norms, 143'678'248}};
  f.small_specs = {R"({"cfg":[[4],[4,6],[8],[8],[8]],"hidden_size":12,"num_classes":10,"image_size":64})",
                   R"({"cfg":[[4],[4],[6,6],[8],[8]],"hidden_size":12,"num_classes":10,"batch_norm":true,
                       "head":"convolution","image_size":224})"};
  f.spec_from_shapes = guess_vgg;
  return f;
}

Family cifar_vgg() {
  Family f = make_family<CifarSpec, CifarVgg>("cifar_vgg", "VGG with or without BatchNorm for 32x32 images");
  f.published = {{"cifar_vgg19_bn", "{}", 20'086'692},
                 {"cifar_vgg8_bn", R"({"cfg":[[64],[128],[256],[512],[512]]})", 3'965'028}};
  f.golden_archs = {"cifar_vgg"};
  f.small_specs = {R"({"cfg":[[8],[8,12],[16],[16],[24]],"num_classes":10})",
                   R"({"cfg":[[8,8],[8],[12],[16],[16]],"num_classes":10,"batch_norm":false})",
                   R"({"cfg":[[8],[8],[12],[16],[16]],"num_classes":10,"image_size":64})"};
  f.spec_from_shapes = guess_cifar;
  return f;
}

}  // namespace pollard::models
