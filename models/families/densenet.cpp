// SPDX-License-Identifier: Apache-2.0
#include "models/families/densenet.h"

#include <ATen/ops/adaptive_avg_pool2d.h>
#include <ATen/ops/avg_pool2d.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/dropout.h>
#include <ATen/ops/max_pool2d.h>
#include <ATen/ops/relu.h>

#include <regex>

#include "models/layers/conv.h"
#include "models/layers/norm.h"

namespace pollard::models {
namespace {

struct DenseNetSpec {
  std::int64_t growth_rate = 32, num_init_features = 64, bn_size = 4, num_classes = 1000, image_size = 224;
  std::vector<std::int64_t> block_config{6, 12, 24, 16};
  double drop_rate = 0;

  void fields(Fields& f) {
    f.integer("growth_rate", growth_rate, {1, 4096});
    f.integer("num_init_features", num_init_features, {1, 4096});
    f.integer("bn_size", bn_size, {1, 256});
    f.integer("num_classes", num_classes);
    f.integer("image_size", image_size, {32, 4096});
    f.integers("block_config", block_config, {1, 256}, 16);
    f.real("drop_rate", drop_rate);
    f.require(!block_config.empty(), "block_config has an entry");
  }
};

Conv2d conv(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride = 1) {
  return Conv2d(in, out, kernel, {.stride = stride, .padding = kernel / 2, .bias = Bias::No});
}

/// Appends `growth` channels to what it reads: a 1x1 bottleneck, then 3x3, each after norm and relu.
struct DenseLayer : Module {
  BatchNorm norm1;
  Conv2d conv1;
  BatchNorm norm2;
  Conv2d conv2;
  double drop;
  DenseLayer(std::int64_t in, const DenseNetSpec& s)
      : norm1(in),
        conv1(conv(in, s.bn_size * s.growth_rate, 1)),
        norm2(s.bn_size * s.growth_rate),
        conv2(conv(s.bn_size * s.growth_rate, s.growth_rate, 3)),
        drop(s.drop_rate) {
    children({{"norm1", norm1}, {"conv1", conv1}, {"norm2", norm2}, {"conv2", conv2}});
  }
  at::Tensor operator()(const at::Tensor& all) const {
    const at::Tensor y = conv2(at::relu(norm2(conv1(at::relu(norm1(all))))));
    return drop > 0 ? at::dropout(y, drop, training()) : y;
  }
};

struct DenseBlock : Module {
  std::vector<std::unique_ptr<DenseLayer>> layers;
  DenseBlock(std::int64_t in, std::int64_t count, const DenseNetSpec& s) {
    for (std::int64_t k = 0; k < count; ++k)
      child("denselayer" + std::to_string(k + 1),
            *layers.emplace_back(std::make_unique<DenseLayer>(in + k * s.growth_rate, s)));
  }
  at::Tensor operator()(const at::Tensor& x) const {
    std::vector<at::Tensor> parts{x};
    for (const auto& layer : layers) parts.push_back((*layer)(parts.size() > 1 ? at::cat(parts, 1) : x));
    return at::cat(parts, 1);
  }
};

struct Transition : Module {
  BatchNorm norm;
  Conv2d half;
  Transition(std::int64_t in, std::int64_t out) : norm(in), half(conv(in, out, 1)) {
    children({{"norm", norm}, {"conv", half}});
  }
  at::Tensor operator()(const at::Tensor& x) const {
    return at::avg_pool2d(half(at::relu(norm(x))), {2, 2}, {2, 2});
  }
};

class DenseNet : public Network {
 public:
  explicit DenseNet(DenseNetSpec spec)
      : spec_(std::move(spec)),
        conv0_(conv(3, spec_.num_init_features, 7, 2)),
        norm0_(spec_.num_init_features) {
    children({{"features.conv0", conv0_}, {"features.norm0", norm0_}});
    std::int64_t width = spec_.num_init_features;
    for (std::size_t b = 0; b < spec_.block_config.size(); ++b) {
      const std::string number = std::to_string(b + 1);
      child("features.denseblock" + number,
            *blocks_.emplace_back(std::make_unique<DenseBlock>(width, spec_.block_config[b], spec_)));
      width += spec_.block_config[b] * spec_.growth_rate;
      if (b + 1 == spec_.block_config.size()) break;
      child("features.transition" + number,
            *transitions_.emplace_back(std::make_unique<Transition>(width, width / 2)));
      width /= 2;
    }
    child("features.norm5", norm5_.emplace(width));
    child("classifier", classifier_.emplace(width, spec_.num_classes));
    set_init([](const std::string& key, at::IntArrayRef shape) -> std::optional<Init> {
      if (shape.size() == 4) return Init::kaiming_normal_fan_in();
      return key.ends_with(".bias") ? std::optional(Init::zeros()) : std::nullopt;
    });
  }

  Result forward(const std::vector<at::Tensor>& inputs) override {
    at::Tensor x = at::relu(norm0_(conv0_(inputs.at(0))));
    x = at::max_pool2d(x, {3, 3}, {2, 2}, {1, 1});
    tap("pool0", x);
    for (std::size_t b = 0; b < blocks_.size(); ++b) {
      x = (*blocks_[b])(x);
      tap("denseblock" + std::to_string(b + 1), x);
      if (b < transitions_.size()) x = (*transitions_[b])(x);
    }
    x = (*norm5_)(x);
    tap("norm5", x);
    return (*classifier_)(at::adaptive_avg_pool2d(at::relu(x), {1, 1}).flatten(1));
  }

  std::vector<Example> examples() const override {
    return {{"x", {batch(), 3, spec_.image_size, spec_.image_size}}};
  }

 private:
  DenseNetSpec spec_;
  Conv2d conv0_;
  BatchNorm norm0_;
  std::vector<std::unique_ptr<DenseBlock>> blocks_;
  std::vector<std::unique_ptr<Transition>> transitions_;
  std::optional<BatchNorm> norm5_;
  std::optional<Linear> classifier_;
};

std::string guess(const Shapes& shapes) {
  DenseNetSpec s;
  s.num_init_features = shapes.dim("features.conv0.weight", 0);
  const std::string first = "features.denseblock1.denselayer1.";
  s.growth_rate = shapes.dim(first + "conv2.weight", 0);
  s.bn_size = shapes.dim(first + "conv1.weight", 0) / std::max<std::int64_t>(1, s.growth_rate);
  s.block_config.clear();
  const auto layer = [](std::size_t b, std::int64_t k) {
    return "features.denseblock" + std::to_string(b) + ".denselayer" + std::to_string(k) + ".conv1.weight";
  };
  for (std::size_t b = 1; shapes.has(layer(b, 1)); ++b) {
    s.block_config.push_back(1);
    while (shapes.has(layer(b, s.block_config.back() + 1))) ++s.block_config.back();
  }
  s.num_classes = shapes.dim("classifier.weight", 0);
  return spec_to_json(s);
}

}  // namespace

Family densenet() {
  Family f = make_family<DenseNetSpec, DenseNet>("densenet", "DenseNet with torchvision's keys");
  f.published = {
      {"densenet121", "{}", 7'978'856},
      {"densenet161", R"({"growth_rate":48,"num_init_features":96,"block_config":[6,12,36,24]})", 28'681'000},
      {"densenet169", R"({"block_config":[6,12,32,32]})", 14'149'480},
      {"densenet201", R"({"block_config":[6,12,48,32]})", 20'013'928}};
  f.golden_archs = {"densenet"};
  f.small_specs = {R"({"growth_rate":8,"num_init_features":16,"block_config":[2,3],"num_classes":10,
                       "image_size":64})",
                   R"({"growth_rate":4,"num_init_features":8,"block_config":[1,2],"bn_size":2,"drop_rate":0.1,
                       "num_classes":10,"image_size":32})"};
  f.spec_from_shapes = guess;
  // The first published files write denselayer1.norm.1.weight for denselayer1.norm1.weight.
  f.rename = [](const std::string& key) {
    static const std::regex old(R"((denselayer\d+\.(?:norm|conv))\.([12]\.))");
    return std::regex_replace(key, old, "$1$2");
  };
  return f;
}

}  // namespace pollard::models
