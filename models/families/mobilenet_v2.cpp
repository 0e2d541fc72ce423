// SPDX-License-Identifier: Apache-2.0
#include "models/families/mobilenet_v2.h"

#include <ATen/ops/adaptive_avg_pool2d.h>
#include <ATen/ops/dropout.h>

#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <utility>

#include "models/layers/activation.h"
#include "models/layers/conv.h"
#include "models/layers/norm.h"

namespace pollard::models {
namespace {

/// The nearest multiple of `divisor`, never below 90 % of `width`.
std::int64_t rounded(double width, std::int64_t divisor) {
  const auto half = static_cast<double>(divisor) / 2;
  std::int64_t out = std::max(divisor, static_cast<std::int64_t>(width + half) / divisor * divisor);
  if (static_cast<double>(out) < 0.9 * width) out += divisor;
  return out;
}

struct MobileNetSpec {
  double width_mult = 1, dropout = 0.2;
  std::int64_t num_classes = 1000, round_nearest = 8, image_size = 224;
  /// Expansion, width, repeats and first stride of every stage.
  std::vector<std::vector<std::int64_t>> inverted_residual_setting{
      {1, 16, 1, 1}, {6, 24, 2, 2},  {6, 32, 3, 2}, {6, 64, 4, 2},
      {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}};

  void fields(Fields& f) {
    f.real("width_mult", width_mult);
    f.real("dropout", dropout);
    f.integer("num_classes", num_classes);
    f.integer("round_nearest", round_nearest, {1, 1024});
    f.integer("image_size", image_size, {32, 4096});
    f.integer_lists("inverted_residual_setting", inverted_residual_setting, {1, 4096});
    f.require(width_mult > 0 && width_mult <= 64, "width_mult lies in (0, 64]");
    f.require(!inverted_residual_setting.empty() && inverted_residual_setting.size() <= 64, "1 to 64 stages");
    for (const auto& stage : inverted_residual_setting)
      f.require(stage.size() == 4 && stage[2] <= 64, "a stage is [expansion, width, repeats, stride]");
  }
  std::int64_t width(std::int64_t channels) const {
    return rounded(static_cast<double>(channels) * width_mult, round_nearest);
  }
  std::int64_t stem() const { return width(32); }
  std::int64_t head() const { return rounded(1280 * std::max(1.0, width_mult), round_nearest); }
};

/// Convolution and norm under the keys 0 and 1, then ReLU6.
struct ConvNorm : Module {
  Conv2d conv;
  BatchNorm norm;
  ConvNorm(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride = 1,
           std::int64_t groups = 1)
      : conv(in, out, kernel, {.stride = stride, .padding = kernel / 2, .groups = groups, .bias = Bias::No}),
        norm(out) {
    children({{"0", conv}, {"1", norm}});
  }
  at::Tensor operator()(const at::Tensor& x) const { return activate(norm(conv(x)), Activation::Relu6); }
};

struct InvertedResidual : Module {
  std::optional<ConvNorm> expand;
  ConvNorm depthwise;
  Conv2d project;
  BatchNorm norm;
  bool residual;
  InvertedResidual(std::int64_t in, std::int64_t out, std::int64_t stride, std::int64_t expansion)
      : depthwise(in * expansion, in * expansion, 3, stride, in * expansion),
        project(in * expansion, out, 1, {.bias = Bias::No}),
        norm(out),
        residual(stride == 1 && in == out) {
    int next = 0;
    const auto key = [&] { return "conv." + std::to_string(next++); };
    if (expansion != 1) child(key(), expand.emplace(in, in * expansion, 1));
    child(key(), depthwise);
    child(key(), project);
    child(key(), norm);
  }
  at::Tensor operator()(const at::Tensor& x) const {
    const at::Tensor y = norm(project(depthwise(expand ? (*expand)(x) : x)));
    return residual ? x.add(y) : y;
  }
};

std::optional<Init> mobilenet_init(const std::string& key, at::IntArrayRef shape) {
  if (shape.size() == 4) return Init::kaiming_normal_fan_out();
  if (shape.size() == 2) return Init::normal(0.01);
  return key.ends_with(".bias") ? std::optional(Init::zeros()) : std::nullopt;
}

class MobileNetV2 : public Network {
 public:
  explicit MobileNetV2(MobileNetSpec spec)
      : spec_(std::move(spec)),
        stem_(3, spec_.stem(), 3, 2),
        head_(spec_.width(spec_.inverted_residual_setting.back()[1]), spec_.head(), 1),
        classifier_(spec_.head(), spec_.num_classes) {
    child("features.0", stem_);
    std::int64_t in = spec_.stem();
    for (const auto& stage : spec_.inverted_residual_setting)
      for (std::int64_t k = 0; k < stage[2]; ++k, in = spec_.width(stage[1])) {
        blocks_.push_back(
            std::make_unique<InvertedResidual>(in, spec_.width(stage[1]), k == 0 ? stage[3] : 1, stage[0]));
        child(feature(blocks_.size()), *blocks_.back());
      }
    child(feature(blocks_.size() + 1), head_);
    child("classifier.1", classifier_);
    set_init(mobilenet_init);
  }

  Result forward(const std::vector<at::Tensor>& inputs) override {
    at::Tensor x = stem_(inputs.at(0));
    tap("features.0", x);
    for (std::size_t k = 0; k < blocks_.size(); ++k) tap(feature(k + 1), x = (*blocks_[k])(x));
    x = head_(x);
    tap(feature(blocks_.size() + 1), x);
    x = at::adaptive_avg_pool2d(x, {1, 1}).flatten(1);
    return classifier_(at::dropout(x, spec_.dropout, training()));
  }

  std::vector<Example> examples() const override {
    return {{"x", {batch(), 3, spec_.image_size, spec_.image_size}}};
  }

 private:
  static std::string feature(std::size_t i) { return "features." + std::to_string(i); }

  MobileNetSpec spec_;
  ConvNorm stem_;
  std::vector<std::unique_ptr<InvertedResidual>> blocks_;
  ConvNorm head_;
  Linear classifier_;
};

/// timm's names of the layers, without ".weight" and the like, and ours. timm counts blocks within a stage, so that only
/// stages of the published depths can be told from a name.
std::map<std::string, std::string> timm_names() {
  std::map<std::string, std::string> out{{"conv_stem", "features.0.0"},
                                         {"bn1", "features.0.1"},
                                         {"conv_head", "features.18.0"},
                                         {"bn2", "features.18.1"},
                                         {"classifier", "classifier.1"}};
  using Parts = std::vector<std::pair<const char*, const char*>>;
  const Parts separable{{"conv_dw", "0.0"}, {"bn1", "0.1"}, {"conv_pw", "1"}, {"bn2", "2"}};
  const Parts inverted{{"conv_pw", "0.0"}, {"bn1", "0.1"},    {"conv_dw", "1.0"},
                       {"bn2", "1.1"},     {"conv_pwl", "2"}, {"bn3", "3"}};
  const auto stages = MobileNetSpec().inverted_residual_setting;
  int block = 0;
  for (std::size_t s = 0; s < stages.size(); ++s)
    for (std::int64_t k = 0; k < stages[s][2]; ++k) {
      const std::string theirs = "blocks." + std::to_string(s) + "." + std::to_string(k) + ".",
                        ours = "features." + std::to_string(++block) + ".conv.";
      for (const auto& [part, place] : stages[s][0] == 1 ? separable : inverted)
        out.emplace(theirs + part, ours + place);
    }
  return out;
}

std::string rename(const std::string& key) {
  static const std::map<std::string, std::string> names = timm_names();
  const std::size_t dot = key.rfind('.');
  const auto found = names.find(key.substr(0, dot));
  return found == names.end() ? key : found->second + key.substr(dot);
}

/// The usual multiplier whose widths the file has.
std::string guess(const Shapes& shapes) {
  MobileNetSpec s;
  s.num_classes = shapes.dim("classifier.1.weight", 0);
  const std::int64_t stem = shapes.dim("features.0.0.weight", 0),
                     last = shapes.dim("features.18.0.weight", 1),
                     head = shapes.dim("features.18.0.weight", 0);
  for (const double mult : {1.0, 0.1, 0.25, 0.35, 0.5, 0.75, 1.3, 1.4, 2.0}) {
    s.width_mult = mult;
    if (s.stem() == stem && s.width(320) == last && s.head() == head) return spec_to_json(s);
  }
  s.width_mult = static_cast<double>(last) / 320;
  return spec_to_json(s);
}

}  // namespace

Family mobilenet_v2() {
  Family f = make_family<MobileNetSpec, MobileNetV2>("mobilenet_v2",
                                                     "MobileNetV2 with torchvision's or timm's keys");
  f.published = {{"mobilenet_v2", "{}", 3'504'872}};
  f.golden_archs = {"mobilenet_v2"};
  f.small_specs = {R"({"width_mult":0.25,"num_classes":10,"image_size":64})",
                   R"({"inverted_residual_setting":[[1,8,1,1],[2,16,2,2],[3,24,2,1]],"num_classes":10,
                       "image_size":32})"};
  f.spec_from_shapes = guess;
  f.rename = rename;
  return f;
}

}  // namespace pollard::models
