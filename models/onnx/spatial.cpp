// SPDX-License-Identifier: Apache-2.0
// Maps: resampling, shuffles between channels and places, windows laid out side by side.
#include <ATen/ops/arange.h>

#include <array>
#include <string>

#include "models/onnx/rules.h"

namespace pollard::models::onnx {
namespace {

using graph::DType;

/// Resize to the size the program's result has. `dims`: how many trailing dimensions change.
void resize(Translation& t, const std::string& mode, bool antialias) {
  const std::string_view argument = t.op().find("input") ? "input" : "self";
  const auto rank = t.rank(argument);
  const bool nearest = mode == "nearest", corners = t.op().bool_or("align_corners", false);
  Name x = t.in(argument);
  Names sizes = t.sizes(t.id(argument), 0, 2);
  const graph::Arg* given = t.op().find("output_size");
  if (given && !given->is_none()) {
    for (const Name& name : t.sizes(*given)) sizes.push_back(name);
  } else {
    for (std::size_t d = 2; d < static_cast<std::size_t>(rank); ++d) {
      if (t.output().shape[d].symbolic()) t.refuse("scaling of a map whose size is not fixed");
      sizes.push_back(t.list({t.output().shape[d].hint}));
    }
  }
  if (rank == 3) {  // runtimes interpolate maps, not lines
    x = t.unsqueeze(x, {2});
    sizes.insert(sizes.begin() + 2, t.list({1}));
  }
  Attributes attributes{{"mode", mode},
                        {"coordinate_transformation_mode", std::string(nearest   ? "asymmetric"
                                                                       : corners ? "align_corners"
                                                                                 : "half_pixel")}};
  if (nearest) attributes.push_back({"nearest_mode", std::string("floor")});
  if (mode == "cubic") attributes.push_back({"cubic_coeff_a", antialias ? -0.5F : -0.75F});
  if (antialias) attributes.push_back({"antialias", std::int64_t{1}});
  if (antialias) attributes.push_back({"exclude_outside", std::int64_t{1}});
  const Name y = t.node("Resize", {x, "", "", t.join(sizes)}, std::move(attributes));
  t.result(rank == 3 ? t.squeeze(y, {2}) : y);
}

void upsample(Translation& t, const OnnxRule& rule) { resize(t, std::string(rule.type), false); }
void smooth_upsample(Translation& t, const OnnxRule& rule) { resize(t, std::string(rule.type), true); }

void grid_sampler(Translation& t, const OnnxRule&) {
  static constexpr std::array<const char*, 3> kModes{"bilinear", "nearest", "bicubic"};
  static constexpr std::array<const char*, 3> kPadding{"zeros", "border", "reflection"};
  const auto word = [&](std::string_view argument, const auto& words) {
    return std::string(words.at(static_cast<std::size_t>(t.op().int_or(argument, 0))));
  };
  t.result(t.node("GridSample", {t.in("input"), t.in("grid")},
                  {{"mode", word("interpolation_mode", kModes)},
                   {"padding_mode", word("padding_mode", kPadding)},
                   {"align_corners", std::int64_t{t.op().bool_or("align_corners", false)}}}));
}

void pixel_shuffle(Translation& t, const OnnxRule&) {
  t.result(t.node("DepthToSpace", {t.in("self")},
                  {{"blocksize", t.op().int_or("upscale_factor", 1)}, {"mode", std::string("CRD")}}));
}

/// Positions [k, n] of n windows of k places each: k dilation + n stride.
at::Tensor windows(std::int64_t places, std::int64_t count, std::int64_t dilation, std::int64_t stride) {
  return at::arange(0, places * dilation, dilation, at::kLong)
      .unsqueeze(1)
      .add(at::arange(0, count * stride, stride, at::kLong).unsqueeze(0));
}

/// [N, C, H, W] -> [N, C kh kw, oh ow]
void im2col(Translation& t, const OnnxRule&) {
  const Ints kernel = t.ints("kernel_size", 2, 1), dilation = t.ints("dilation", 2, 1),
             padding = t.ints("padding", 2, 0), stride = t.ints("stride", 2, 1);
  const graph::ValueId self = t.id("self");
  if (t.rank("self") != 4) t.refuse("windows of a map without a batch");
  Name x = t.node("Pad", {t.in(self), t.list({0, 0, padding[0], padding[1], 0, 0, padding[0], padding[1]})});
  Ints counts;
  for (std::size_t d = 0; d < 2; ++d) {
    const graph::Size& length = t.operand("self").shape[d + 2];
    if (length.symbolic()) t.refuse("windows of a map whose size is not fixed");
    counts.push_back((length.hint + 2 * padding[d] - dilation[d] * (kernel[d] - 1) - 1) / stride[d] + 1);
  }
  for (std::size_t d = 0; d < 2; ++d)
    x = t.node("Gather", {x, t.constant(windows(kernel[d], counts[d], dilation[d], stride[d]))},
               {{"axis", static_cast<std::int64_t>(2 + 2 * d)}});
  x = t.transpose(x, {0, 1, 2, 4, 3, 5});
  t.result(t.reshape(x, {t.size(self, 0), t.list({-1, counts[0] * counts[1]})}));
}

void col2im(Translation& t, const OnnxRule&) {
  const Ints padding = t.ints("padding", 2, 0);
  t.result(t.node("Col2Im",
                  {t.in("self"), t.list(t.ints("output_size", 2, 1)), t.list(t.ints("kernel_size", 2, 1))},
                  {{"dilations", t.ints("dilation", 2, 1)},
                   {"strides", t.ints("stride", 2, 1)},
                   {"pads", Ints{padding[0], padding[1], padding[0], padding[1]}}}));
}

/// Windows along one dimension; their places become the last.
void unfold(Translation& t, const OnnxRule&) {
  const auto rank = t.rank("self"), dim = t.dim("dimension", rank, 0);
  const auto size = t.op().int_or("size", 1), step = t.op().int_or("step", 1);
  const graph::Size& length = t.operand("self").shape[static_cast<std::size_t>(dim)];
  if (length.symbolic()) t.refuse("windows along a dimension whose size is not fixed");
  const at::Tensor at = windows(size, (length.hint - size) / step + 1, 1, step).t();
  const Name x = t.node("Gather", {t.in("self"), t.constant(at)}, {{"axis", dim}});
  Ints order;
  for (std::int64_t d = 0; d <= rank; ++d)
    if (d != dim + 1) order.push_back(d);
  order.push_back(dim + 1);
  t.result(t.transpose(x, order));
}

constexpr auto kRules = std::to_array<OnnxRule>({
    {"_upsample_bicubic2d_aa", smooth_upsample, "cubic", 18},
    {"_upsample_bilinear2d_aa", smooth_upsample, "linear", 18},
    {"col2im", col2im, {}, 18},
    {"grid_sampler", grid_sampler},
    {"grid_sampler_2d", grid_sampler},
    {"im2col", im2col},
    {"pixel_shuffle", pixel_shuffle},
    {"unfold", unfold},
    {"upsample_bicubic2d", upsample, "cubic"},
    {"upsample_bilinear2d", upsample, "linear"},
    {"upsample_linear1d", upsample, "linear"},
    {"upsample_nearest1d", upsample, "nearest"},
    {"upsample_nearest2d", upsample, "nearest"},
});

}  // namespace

std::span<const OnnxRule> spatial_rules() { return kRules; }

}  // namespace pollard::models::onnx
