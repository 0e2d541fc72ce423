// SPDX-License-Identifier: Apache-2.0
#include "models/layers/vision_transformer.h"

#include <cmath>

namespace pollard::models {

PatchEmbed::PatchEmbed(std::int64_t width, std::int64_t patch_size)
    : proj(3, width, patch_size, {.stride = patch_size}), patch(patch_size) {
  child("proj", proj);
}
at::Tensor PatchEmbed::operator()(const at::Tensor& image) const {
  return proj(image).flatten(2).transpose(1, 2);
}

LayerScale::LayerScale(std::int64_t width, double initial, const char* name) {
  parameter(name, gamma, {width}, Init::constant(initial));
}

PackedGlu::PackedGlu(std::int64_t width, std::int64_t hidden) : fc1(width, 2 * hidden), fc2(hidden, width) {
  children({{"fc1", fc1}, {"fc2", fc2}});
}
at::Tensor PackedGlu::operator()(const at::Tensor& x) const {
  const auto halves = fc1(x).chunk(2, -1);
  return fc2(activate(halves[0], Activation::Silu).mul(halves[1]));
}

VitBlock::VitBlock(const Options& o)
    : norm1(o.width, o.eps),
      attn(o.width, o.heads, o.qkv_bias, {.weights = o.attention_dropout, .output = o.dropout}),
      norm2(o.width, o.eps),
      drop_rate(o.drop_path) {
  children({{"norm1", norm1}, {"attn", attn}});
  if (o.layer_scale != 0) child("ls1", ls1.emplace(o.width, o.layer_scale));
  child("norm2", norm2);
  if (o.glu)
    child("mlp", glu.emplace(o.width, o.hidden));
  else
    child("mlp", mlp.emplace(o.width, o.hidden));
  if (mlp) mlp->dropout = o.dropout;
  if (o.layer_scale != 0) child("ls2", ls2.emplace(o.width, o.layer_scale));
}

at::Tensor VitBlock::branch(at::Tensor y, const std::optional<LayerScale>& scale) const {
  return drop_path(scale ? (*scale)(y) : y, drop_rate, training());
}

at::Tensor VitBlock::operator()(const at::Tensor& x, const std::optional<Merging>& merging) const {
  const FusedAttention::Heads heads = attn.project(norm1(x));
  const at::Tensor mask = merging && merging->proportional ? merging->merger.log_sizes() : at::Tensor();
  at::Tensor y = x.add(branch(attn.attend(heads, mask), ls1));
  // The keys say what a token is about: their mean over the heads is what similarity is measured on.
  if (merging && merging->count > 0) y = merging->merger(y, heads.k.mean(1), merging->count);
  const at::Tensor z = norm2(y);
  return y.add(branch(mlp ? (*mlp)(z) : (*glu)(z), ls2));
}

double drop_path_at(double rate, std::int64_t i, std::int64_t n) {
  return n > 1 ? rate * static_cast<double>(i) / static_cast<double>(n - 1) : 0;
}

std::int64_t square_root(std::int64_t positions) {
  return std::llround(std::sqrt(static_cast<double>(positions)));
}

}  // namespace pollard::models
