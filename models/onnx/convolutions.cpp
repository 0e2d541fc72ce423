// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <string>

#include "models/onnx/rules.h"

namespace pollard::models::onnx {
namespace {

/// PyTorch pads both sides alike; ONNX lists all beginnings, then all ends.
Ints both_sides(const Ints& padding) {
  Ints out = padding;
  out.insert(out.end(), padding.begin(), padding.end());
  return out;
}

Attributes common(Translation& t, std::size_t spatial) {
  return {{"strides", t.ints("stride", spatial, 1)},
          {"dilations", t.ints("dilation", spatial, 1)},
          {"group", t.op().int_or("groups", 1)}};
}

/// Runs `type` on the input with a batch, which PyTorch lets callers leave out.
void convolve(Translation& t, std::string_view type, std::size_t spatial, Attributes attributes) {
  const bool single = t.rank("input") == static_cast<std::int64_t>(spatial) + 1;
  Names inputs{single ? t.unsqueeze(t.in("input"), {0}) : t.in("input"), t.in("weight")};
  if (const auto bias = t.maybe("bias")) inputs.push_back(*bias);
  const Name y = t.node(type, inputs, std::move(attributes));
  t.result(single ? t.squeeze(y, {0}) : y);
}

void convolution(Translation& t, const OnnxRule&) {
  const auto spatial = static_cast<std::size_t>(t.rank("weight")) - 2;
  Attributes attributes = common(t, spatial);
  const graph::Arg* padding = t.op().find("padding");
  const auto* word = padding ? padding->as<std::string>() : nullptr;
  if (word)
    attributes.push_back({"auto_pad", std::string(*word == "same" ? "SAME_UPPER" : "VALID")});
  else
    attributes.push_back({"pads", both_sides(t.ints("padding", spatial, 0))});
  convolve(t, "Conv", spatial, std::move(attributes));
}

void transposed(Translation& t, const OnnxRule&) {
  const auto spatial = static_cast<std::size_t>(t.rank("weight")) - 2;
  Attributes attributes = common(t, spatial);
  attributes.push_back({"pads", both_sides(t.ints("padding", spatial, 0))});
  attributes.push_back({"output_padding", t.ints("output_padding", spatial, 0)});
  convolve(t, "ConvTranspose", spatial, std::move(attributes));
}

void general(Translation& t, const OnnxRule& rule) {
  t.op().bool_or("transposed", false) ? transposed(t, rule) : convolution(t, rule);
}

constexpr auto kRules = std::to_array<OnnxRule>({
    {"conv1d", convolution},
    {"conv2d", convolution},
    {"conv3d", convolution},
    {"conv_transpose1d", transposed},
    {"conv_transpose2d", transposed},
    {"conv_transpose3d", transposed},
    {"convolution", general},
});

}  // namespace

std::span<const OnnxRule> convolution_rules() { return kRules; }

}  // namespace pollard::models::onnx
