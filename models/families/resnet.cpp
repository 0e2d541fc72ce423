// SPDX-License-Identifier: Apache-2.0
#include "models/families/resnet.h"

#include <ATen/ops/adaptive_avg_pool2d.h>
#include <ATen/ops/avg_pool2d.h>
#include <ATen/ops/max_pool2d.h>
#include <ATen/ops/relu.h>

#include <array>

#include "models/layers/conv.h"
#include "models/layers/norm.h"

namespace pollard::models {
namespace {

Conv2d conv(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride = 1,
            std::int64_t groups = 1) {
  return Conv2d(in, out, kernel,
                {.stride = stride, .padding = kernel / 2, .groups = groups, .bias = Bias::No});
}

std::optional<Init> resnet_init(const std::string&, at::IntArrayRef shape) {
  return shape.size() == 4 ? std::optional(Init::kaiming_normal_fan_out()) : std::nullopt;
}

/// A residual block: basic (two 3x3) or bottleneck (1x1, 3x3, 1x1), and a 1x1 projection where shapes change.
struct Block : Module {
  bool bottleneck;
  Conv2d conv1;
  BatchNorm bn1;
  Conv2d conv2;
  BatchNorm bn2;
  std::optional<Conv2d> conv3, project;
  std::optional<BatchNorm> bn3, project_norm;

  struct Widths {
    std::int64_t in, inner, out, stride = 1, groups = 1;
  };
  Block(bool is_bottleneck, Widths w)
      : bottleneck(is_bottleneck),
        conv1(conv(w.in, w.inner, bottleneck ? 1 : 3, bottleneck ? 1 : w.stride)),
        bn1(w.inner),
        conv2(conv(w.inner, bottleneck ? w.inner : w.out, 3, bottleneck ? w.stride : 1, w.groups)),
        bn2(bottleneck ? w.inner : w.out) {
    children({{"conv1", conv1}, {"bn1", bn1}, {"conv2", conv2}, {"bn2", bn2}});
    if (bottleneck) {
      child("conv3", conv3.emplace(w.inner, w.out, 1, ConvOptions<2>{.bias = Bias::No}));
      child("bn3", bn3.emplace(w.out));
    }
    if (w.stride == 1 && w.in == w.out) return;
    child("downsample.0",
          project.emplace(w.in, w.out, 1, ConvOptions<2>{.stride = w.stride, .bias = Bias::No}));
    child("downsample.1", project_norm.emplace(w.out));
  }

  at::Tensor operator()(const at::Tensor& x) const {
    at::Tensor y = bn2(conv2(at::relu(bn1(conv1(x)))));
    if (bottleneck) y = (*bn3)((*conv3)(at::relu(y)));
    return at::relu(y.add(project ? (*project_norm)((*project)(x)) : x));
  }
};

using Stage = ModuleList<Block>;
at::Tensor run(const Stage& stage, at::Tensor x) {
  for (const auto& block : stage) x = (*block)(x);
  return x;
}

struct ResNetSpec {
  std::string block = "Bottleneck";
  std::vector<std::int64_t> layers{3, 4, 6, 3};
  std::int64_t num_classes = 1000, groups = 1, width_per_group = 64, image_size = 224;

  void fields(Fields& f) {
    f.text("block", block, {"BasicBlock", "Bottleneck"});
    f.integers("layers", layers, {1, 256}, 4);
    f.integer("num_classes", num_classes);
    f.integer("groups", groups, {1, 4096});
    f.integer("width_per_group", width_per_group, {1, 4096});
    f.integer("image_size", image_size, {32, 4096});
    f.require(layers.size() == 4, "layers has four entries");
    f.require(block == "Bottleneck" || (groups == 1 && width_per_group == 64),
              "BasicBlock has groups 1, width 64");
  }
  bool bottleneck() const { return block == "Bottleneck"; }
};

class ResNet : public Network {
 public:
  explicit ResNet(ResNetSpec spec)
      : spec_(std::move(spec)),
        conv1_(3, 64, 7, {.stride = 2, .padding = 3, .bias = Bias::No}),
        bn1_(64),
        fc_(spec_.bottleneck() ? 2048 : 512, spec_.num_classes) {
    children({{"conv1", conv1_}, {"bn1", bn1_}});
    std::int64_t in = 64;
    for (std::size_t i = 0; i < stages_.size(); ++i) {
      const std::int64_t planes = 64 << i, out = planes * (spec_.bottleneck() ? 4 : 1);
      const std::int64_t inner = planes * spec_.width_per_group / 64 * spec_.groups;
      for (std::int64_t k = 0; k < spec_.layers[i]; ++k, in = out)
        stages_[i].emplace(spec_.bottleneck(), Block::Widths{.in = in,
                                                             .inner = inner,
                                                             .out = out,
                                                             .stride = i > 0 && k == 0 ? 2 : 1,
                                                             .groups = spec_.groups});
      child("layer" + std::to_string(i + 1), stages_[i]);
    }
    child("fc", fc_);
    set_init(resnet_init);
  }

  Result forward(const std::vector<at::Tensor>& inputs) override {
    at::Tensor x = at::relu(bn1_(conv1_(inputs.at(0))));
    tap("stem", x);
    x = at::max_pool2d(x, {3, 3}, {2, 2}, {1, 1});
    for (std::size_t i = 0; i < stages_.size(); ++i)
      tap("layer" + std::to_string(i + 1), x = run(stages_[i], x));
    return fc_(at::adaptive_avg_pool2d(x, {1, 1}).flatten(1));
  }

  std::vector<Example> examples() const override {
    return {{"x", {batch(), 3, spec_.image_size, spec_.image_size}}};
  }

 private:
  ResNetSpec spec_;
  Conv2d conv1_;
  BatchNorm bn1_;
  std::array<Stage, 4> stages_;
  Linear fc_;
};

struct CifarSpec {
  std::int64_t depth = 20, num_classes = 10, image_size = 32;
  std::vector<std::int64_t> num_filters{16, 16, 32, 64};
  std::string block = "basicblock";

  void fields(Fields& f) {
    f.integer("depth", depth, {8, 2000});
    f.integer("num_classes", num_classes);
    f.integer("image_size", image_size, {29, 1024});
    f.integers("num_filters", num_filters, {1, 4096}, 4);
    f.text("block", block, {"basicblock", "bottleneck"});
    f.require(num_filters.size() == 4, "num_filters has four entries");
    f.require((depth - 2) % (bottleneck() ? 9 : 6) == 0, "depth is 6n+2, or 9n+2 with bottlenecks");
  }
  bool bottleneck() const { return block == "bottleneck"; }
  std::int64_t blocks() const { return (depth - 2) / (bottleneck() ? 9 : 6); }
};

class CifarResNet : public Network {
 public:
  explicit CifarResNet(CifarSpec spec)
      : spec_(std::move(spec)),
        conv1_(3, spec_.num_filters[0], 3, {.padding = 1, .bias = Bias::No}),
        bn1_(spec_.num_filters[0]),
        fc_(spec_.num_filters[3] * expansion(), spec_.num_classes) {
    children({{"conv1", conv1_}, {"bn1", bn1_}});
    std::int64_t in = spec_.num_filters[0];
    for (std::size_t i = 0; i < stages_.size(); ++i) {
      const std::int64_t inner = spec_.num_filters[i + 1], out = inner * expansion();
      for (std::int64_t k = 0; k < spec_.blocks(); ++k, in = out)
        stages_[i].emplace(
            spec_.bottleneck(),
            Block::Widths{.in = in, .inner = inner, .out = out, .stride = i > 0 && k == 0 ? 2 : 1});
      child("layer" + std::to_string(i + 1), stages_[i]);
    }
    child("fc", fc_);
    set_init(resnet_init);
  }

  Result forward(const std::vector<at::Tensor>& inputs) override {
    at::Tensor x = at::relu(bn1_(conv1_(inputs.at(0))));
    tap("stem", x);
    for (std::size_t i = 0; i < stages_.size(); ++i)
      tap("layer" + std::to_string(i + 1), x = run(stages_[i], x));
    return fc_(at::avg_pool2d(x, {8, 8}).flatten(1));
  }

  std::vector<Example> examples() const override {
    return {{"x", {batch(), 3, spec_.image_size, spec_.image_size}}};
  }

 private:
  std::int64_t expansion() const { return spec_.bottleneck() ? 4 : 1; }

  CifarSpec spec_;
  Conv2d conv1_;
  BatchNorm bn1_;
  std::array<Stage, 3> stages_;
  Linear fc_;
};

std::string guess_resnet(const Shapes& shapes) {
  if (shapes.dim("conv1.weight", -1) != 7) throw Shapes::Missing();
  ResNetSpec s;
  s.block = shapes.has("layer1.0.conv3.weight") ? "Bottleneck" : "BasicBlock";
  for (std::size_t i = 0; i < 4; ++i)
    s.layers[i] = shapes.count("layer" + std::to_string(i + 1) + ".", ".conv1.weight");
  s.num_classes = shapes.dim("fc.weight", 0);
  const std::int64_t inner = shapes.dim("layer1.0.conv2.weight", 0);
  const std::int64_t each = shapes.dim("layer1.0.conv2.weight", 1);  // input channels a group
  if (s.bottleneck() && each > 0 && inner % each == 0) s.groups = inner / each, s.width_per_group = each;
  return spec_to_json(s);
}

std::string guess_cifar(const Shapes& shapes) {
  if (shapes.has("layer4.0.conv1.weight")) throw Shapes::Missing();
  CifarSpec s;
  s.block = shapes.has("layer1.0.conv3.weight") ? "bottleneck" : "basicblock";
  s.depth = shapes.count("layer1.", ".conv1.weight") * (s.bottleneck() ? 9 : 6) + 2;
  s.num_classes = shapes.dim("fc.weight", 0);
  s.num_filters[0] = shapes.dim("conv1.weight", 0);
  for (std::size_t i = 1; i < 4; ++i)
    s.num_filters[i] = shapes.dim("layer" + std::to_string(i) + ".0.conv1.weight", 0);
  return spec_to_json(s);
}

}  // namespace

Family resnet() {
  Family f =
      make_family<ResNetSpec, ResNet>("resnet", "ResNet, ResNeXt and Wide ResNet with torchvision's keys");
  f.published = {{"resnet18", R"({"block":"BasicBlock","layers":[2,2,2,2]})", 11'689'512},
                 {"resnet34", R"({"block":"BasicBlock","layers":[3,4,6,3]})", 21'797'672},
                 {"resnet50", "{}", 25'557'032},
                 {"resnet101", R"({"layers":[3,4,23,3]})", 44'549'160},
                 {"resnet152", R"({"layers":[3,8,36,3]})", 60'192'808},
                 {"resnext50_32x4d", R"({"groups":32,"width_per_group":4})", 25'028'904},
                 {"wide_resnet50_2", R"({"width_per_group":128})", 68'883'240}};
  f.golden_archs = {"resnet"};
  f.small_specs = {R"({"layers":[1,1,1,1],"width_per_group":8,"num_classes":10,"image_size":64})",
                   R"({"layers":[2,1,1,1],"groups":4,"width_per_group":8,"image_size":64})",
                   R"({"layers":[1,1,1,2],"block":"BasicBlock","num_classes":10,"image_size":64})"};
  f.spec_from_shapes = guess_resnet;
  return f;
}

Family cifar_resnet() {
  Family f = make_family<CifarSpec, CifarResNet>("cifar_resnet", "ResNet-20/56 and kin for 32x32 images");
  f.published = {{"cifar_resnet20", "{}", 272'474}, {"cifar_resnet56", R"({"depth":56})", 855'770}};
  f.golden_archs = {"cifar_resnet"};
  f.small_specs = {R"({"depth":8})", R"({"depth":11,"block":"bottleneck","num_filters":[8,4,8,16]})"};
  f.spec_from_shapes = guess_cifar;
  return f;
}

}  // namespace pollard::models
