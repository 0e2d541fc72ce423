// SPDX-License-Identifier: Apache-2.0
#include "models/layers/swin_cell.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/zeros.h>

namespace pollard::models {

SwinCell::Block::Block(const Options& o, std::size_t number)
    : layout({o.side, o.side}, o.window, number % 2 == 1),
      norm1(o.width),
      attn(o.width, o.heads, layout.window, true, o.dropout),
      norm2(o.width),
      mlp(o.width, o.hidden),
      red(2 * o.width, o.width),
      drop(o.drop_path[number]) {
  mlp.dropout = o.dropout.output;
  if (layout.shifted()) buffer("attn_mask", mask, layout.mask());
  children({{"norm1", norm1}, {"attn", attn}, {"norm2", norm2}, {"mlp", mlp}, {"red", red}});
}

at::Tensor SwinCell::Block::operator()(const at::Tensor& x, const at::Tensor& beside) const {
  at::Tensor u = norm1(x);
  if (beside.defined()) u = red(at::cat({u, norm1(beside)}, -1));
  const at::Tensor a =
      in_windows(u, layout, [&](const at::Tensor& parts) { return attn(parts, mask, x.size(0)); });
  const at::Tensor y = x.add(drop_path(a, drop, training()));
  return y.add(drop_path(mlp(norm2(y)), drop, training()));
}

SwinCell::SwinCell(const Options& o) : width(o.width), side(o.side) {
  for (std::size_t j = 0; j < o.drop_path.size(); ++j) blocks.emplace(o, j);
  child("Swin.layers", blocks);
}

SwinCell::State SwinCell::start(const at::Tensor& frames) const {
  const auto zeros = [&] { return at::zeros({frames.size(0), side, side, width}, frames.options()); };
  return {zeros(), zeros()};
}

SwinCell::State SwinCell::operator()(const at::Tensor& x, const State& before) const {
  at::Tensor f = blocks[0](x, before.h);
  for (std::size_t j = 1; j < blocks.size(); ++j) f = blocks[j](f, j % 2 == 0 ? x : at::Tensor());
  const at::Tensor gate = at::sigmoid(f);
  const at::Tensor c = gate.mul(before.c.add(at::tanh(f)));
  return {gate.mul(at::tanh(c)), c};
}

}  // namespace pollard::models
