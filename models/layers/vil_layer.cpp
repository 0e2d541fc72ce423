// SPDX-License-Identifier: Apache-2.0
#include "models/layers/vil_layer.h"

#include <ATen/ATen.h>

#include <cmath>

namespace pollard::models {
namespace {

bool backwards(Traversal t) { return t == Traversal::RowsBack || t == Traversal::ColumnsBack; }

at::Tensor transposed(const at::Tensor& x, Traversal t, Grid map) {
  if (t == Traversal::Rows || t == Traversal::RowsBack) return x;
  return x.reshape({x.size(0), map.h, map.w, x.size(2)})
      .transpose(1, 2)
      .reshape({x.size(0), x.size(1), x.size(2)});
}

/// The suffixes of the design study's passes, in the order they are added up.
constexpr const char* kSuffixes[] = {"", "_rev", "_du", "_ud"};

}  // namespace

at::Tensor reordered(const at::Tensor& x, Traversal t, Grid map) {
  const at::Tensor y = transposed(x, t, map);
  return backwards(t) ? y.flip({1}) : y;
}

at::Tensor restored(const at::Tensor& x, Traversal t, Grid map) {
  return transposed(backwards(t) ? x.flip({1}) : x, t, map);
}

MlstmBranch::MlstmBranch(const Options& o)
    : q(o.cell.width, o.block, o.bias),
      k(o.cell.width, o.block, o.bias),
      v(o.cell.width, o.block, o.bias),
      cell(o.cell),
      map(o.map) {
  parameter("learnable_skip" + o.suffix, skip, {o.cell.width}, Init::ones());
  children({{"q_proj" + o.suffix, q}, {"k_proj" + o.suffix, k}, {"v_proj" + o.suffix, v}});
  const std::int64_t width = o.cell.width;
  if (o.conv2d)
    child(o.conv + o.suffix,
          conv2d.emplace(width, width, o.kernel, ConvOptions<2>{.padding = o.kernel / 2, .groups = width}));
  else
    child(o.conv + o.suffix, causal.emplace(width, o.kernel));
  child("mlstm_cell" + o.suffix, cell);
}

at::Tensor MlstmBranch::convolved(const at::Tensor& x) const {
  if (causal) return (*causal)(x);
  const at::Tensor image = x.transpose(1, 2).reshape({x.size(0), x.size(2), map.h, map.w});
  return (*conv2d)(image).flatten(2).transpose(1, 2);
}

at::Tensor MlstmBranch::operator()(const at::Tensor& x, const at::Tensor& z) const {
  const at::Tensor c = at::silu(convolved(x));
  const at::Tensor h = cell(q(c), k(c), v(x));
  return at::addcmul(h, skip, c).mul(at::silu(z));
}

VilLayer::VilLayer(const Options& o)
    : proj_up(o.width, 2 * o.branch.cell.width, o.branch.bias),
      proj_down(o.branch.cell.width, o.width, o.branch.bias),
      passes(o.passes),
      map(o.branch.map) {
  child("proj_up", proj_up);
  for (std::size_t i = 0; i < (o.shared ? 1 : passes.size()); ++i) {
    MlstmBranch::Options branch = o.branch;
    branch.suffix = kSuffixes[i];
    if (i > 0) branch.cell.norm_bias = Bias::No;  // as the reference has it
    child("", *branches.emplace_back(std::make_unique<MlstmBranch>(branch)));
  }
  child("proj_down", proj_down);
}

at::Tensor VilLayer::operator()(const at::Tensor& x) const {
  const auto halves = proj_up(x).chunk(2, -1);
  at::Tensor sum;
  for (std::size_t i = 0; i < passes.size(); ++i) {
    const MlstmBranch& branch = *branches[branches.size() == 1 ? 0 : i];
    const at::Tensor y = restored(
        branch(reordered(halves[0], passes[i], map), reordered(halves[1], passes[i], map)), passes[i], map);
    sum = i == 0 ? y : sum.add(y);
  }
  return proj_down(sum);
}

VilBlock::VilBlock(const Options& o) : norm(o.layer.width, o.norm_bias), layer(o.layer), options(o) {
  children({{o.norm_name, norm}, {o.layer_name, layer}});
  if (o.layer_scale != 0)
    parameter(o.layer_name + ".layerscale.gamma", gamma, {o.layer.width}, Init::constant(o.layer_scale));
}

at::Tensor VilBlock::operator()(const at::Tensor& x) const {
  const at::Tensor y =
      restored(layer(reordered(norm(x), options.traversal, layer.map)), options.traversal, layer.map);
  const at::Tensor kept = dropped(y, options.dropout, training());
  return x.add(drop_path(gamma.defined() ? kept.mul(gamma) : kept, options.drop_path, training()));
}

std::optional<Init> vil_init(const std::string& key, at::IntArrayRef shape, std::int64_t width,
                             std::int64_t blocks) {
  const bool projection = key.find("_proj") != std::string::npos || key.find("proj_") != std::string::npos;
  if (!projection || key.starts_with("patch_embed.")) return std::nullopt;
  if (shape.size() == 1) return Init::zeros();
  const auto D = static_cast<double>(width);
  if (key.find("proj_down") != std::string::npos)
    return Init::normal(2 / (static_cast<double>(blocks) * std::sqrt(D)));
  return Init::normal(std::sqrt(2 / (5 * D)));
}

}  // namespace pollard::models
