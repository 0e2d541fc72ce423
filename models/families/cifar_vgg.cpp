// SPDX-License-Identifier: Apache-2.0
#include "models/families/cifar_vgg.h"

#include <ATen/ops/adaptive_avg_pool2d.h>
#include <ATen/ops/max_pool2d.h>
#include <ATen/ops/relu.h>

#include "models/layers/conv.h"
#include "models/layers/norm.h"

namespace pollard::models {
namespace {

struct VggSpec {
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
  explicit CifarVgg(VggSpec spec)
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
  VggSpec spec_;
  std::vector<std::unique_ptr<Block>> blocks_;
  Linear classifier_;
};

std::string guess(const Shapes& shapes) {
  VggSpec s;
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

}  // namespace

Family cifar_vgg() {
  Family f = make_family<VggSpec, CifarVgg>("cifar_vgg", "VGG with or without BatchNorm for 32x32 images");
  f.published = {{"cifar_vgg19_bn", "{}", 20'086'692},
                 {"cifar_vgg8_bn", R"({"cfg":[[64],[128],[256],[512],[512]]})", 3'965'028}};
  f.golden_archs = {"cifar_vgg"};
  f.small_specs = {R"({"cfg":[[8],[8,12],[16],[16],[24]],"num_classes":10})",
                   R"({"cfg":[[8,8],[8],[12],[16],[16]],"num_classes":10,"batch_norm":false})",
                   R"({"cfg":[[8],[8],[12],[16],[16]],"num_classes":10,"image_size":64})"};
  f.spec_from_shapes = guess;
  return f;
}

}  // namespace pollard::models
