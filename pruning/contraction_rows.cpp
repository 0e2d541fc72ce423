// SPDX-License-Identifier: Apache-2.0
// Operands of contractions as plain matrices.
#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include "graph/error.h"
#include "pruning/calibration.h"
#include "pruning/contractions.h"

namespace pollard::pruning {
namespace {

using Kind = Contraction::Kind;

std::int64_t groups_of(const graph::Op& op) { return std::max<std::int64_t>(1, op.int_or("groups", 1)); }

/// Samples first, channels second, positions flat.
at::Tensor as_images(const at::Tensor& x, const at::Tensor& weight) {
  return x.dim() == weight.dim() ? x : x.unsqueeze(0);
}

std::vector<std::int64_t> geometry(const graph::Op& op, std::string_view name, std::int64_t fallback,
                                   std::size_t dims) {
  std::vector<std::int64_t> out;
  if (const graph::Arg* arg = op.find(name))
    if (const auto* list = arg->as<graph::Arg::List>())
      for (const graph::Arg& item : *list) out.push_back(*item.as<std::int64_t>());
  if (out.empty()) out.push_back(fallback);
  if (out.size() == 1) out.resize(dims, out[0]);
  return out;
}

/// Flat positions in the padded input of every tap of every output position: [positions, taps].
struct Patches {
  at::Tensor padded, index;
};

Patches patches_of(const at::Tensor& x, const at::Tensor& weight, const graph::Op& op) {
  const auto dims = static_cast<std::size_t>(weight.dim() - 2);
  const auto stride = geometry(op, "stride", 1, dims), dilation = geometry(op, "dilation", 1, dims);
  auto padding = geometry(op, "padding", 0, dims), after = padding;
  if (const graph::Arg* arg = op.find("padding"); arg && arg->as<std::string>())
    for (std::size_t k = 0; k < dims; ++k) {
      const std::int64_t all = *arg->as<std::string>() == "same"
                                   ? dilation[k] * (weight.size(static_cast<std::int64_t>(k) + 2) - 1)
                                   : 0;
      padding[k] = all / 2;
      after[k] = all - all / 2;
    }
  std::vector<std::int64_t> sides;
  for (std::size_t k = dims; k-- > 0;) sides.insert(sides.end(), {padding[k], after[k]});
  Patches out{.padded = at::constant_pad_nd(x, sides),
              .index = at::zeros({1, 1}, at::TensorOptions().dtype(at::kLong))};
  for (std::size_t k = 0; k < dims; ++k) {
    const std::int64_t length = out.padded.size(static_cast<std::int64_t>(k) + 2),
                       taps = weight.size(static_cast<std::int64_t>(k) + 2),
                       reach = dilation[k] * (taps - 1) + 1;
    const std::int64_t positions = (length - reach) / stride[k] + 1;
    const auto range = [](std::int64_t n, std::int64_t step) {
      return at::arange(n, at::TensorOptions().dtype(at::kLong)) * step;
    };
    const at::Tensor local = range(positions, stride[k]).unsqueeze(1) + range(taps, dilation[k]).unsqueeze(0);
    out.index = (out.index.view({out.index.size(0), 1, out.index.size(1), 1}) * length +
                 local.view({1, positions, 1, taps}))
                    .reshape({out.index.size(0) * positions, out.index.size(1) * taps});
  }
  return out;
}

/// [.., channels] as [batch, rows, channels], without the rows the mask names.
Rows linear_rows(const at::Tensor& x, const at::Tensor& weight, const RowChoice& choice) {
  const std::int64_t channels = x.size(-1);
  if (weight.dim() == 3 && x.dim() >= 3 && x.size(-3) == weight.size(0))
    return {x.movedim(-3, 0).reshape({weight.size(0), -1, channels}),
            static_cast<double>(x.numel() / channels / weight.size(0))};
  const at::Tensor rows = counted_rows(x, choice.mask).reshape({-1, channels});
  const at::Tensor some = drawn_rows(rows.size(0), choice.most, choice.seed);
  return {(some.defined() ? rows.index_select(0, some) : rows).unsqueeze(0),
          static_cast<double>(rows.size(0))};
}

}  // namespace

at::Tensor drawn_rows(std::int64_t count, std::int64_t most, std::uint64_t seed) {
  if (count <= most) return {};
  at::Generator generator = at::detail::createCPUGenerator(seed);
  const at::Tensor order = at::randperm(count, generator, at::TensorOptions().dtype(at::kLong));
  return std::get<0>(order.slice(0, 0, std::max<std::int64_t>(1, most)).sort());
}

at::Tensor weight_block(const Contraction& c, const at::Tensor& weight, const graph::Op& op) {
  if (c.kind == Kind::Product) return at::ones({1, 1, weight.size(-1), 1}, at::kDouble);
  at::Tensor w = weight.detach();
  if (c.kind == Kind::Convolution) {
    const std::int64_t groups = groups_of(op);
    return w.reshape({groups, w.size(0) / groups, w.size(1), -1});
  }
  if (c.kind == Kind::Transposed) {
    w = w.reshape({w.size(0), w.size(1), -1});
    return w.permute({1, 2, 0}).reshape({1, -1, w.size(0), 1});
  }
  if (c.weight_transposed) w = w.transpose(-1, -2);
  return w.dim() == 3 ? w.unsqueeze(3) : w.reshape({1, w.size(-2), w.size(-1), 1});
}

Rows channel_rows(const Contraction& c, const at::Tensor& x, const at::Tensor& weight, const graph::Op& op,
                  const RowChoice& choice) {
  POLLARD_CHECK(c.kind != Kind::Product, "a product of activations has no rows of its own");
  if (c.kind == Kind::Linear || c.kind == Kind::Recurrent) return linear_rows(x, weight, choice);
  const std::int64_t groups = groups_of(op);
  at::Tensor images = as_images(x, weight).flatten(2);  // [N, C, S]
  const auto total = static_cast<double>(images.size(0) * images.size(2));
  const at::Tensor some = drawn_rows(images.size(2), choice.most / images.size(0), choice.seed);
  if (some.defined()) images = images.index_select(2, some);
  return {images.reshape({images.size(0), groups, -1, images.size(2)})
              .permute({1, 0, 3, 2})
              .reshape({groups, -1, images.size(1) / groups}),
          total};
}

Rows tap_rows(const Contraction& c, const at::Tensor& x, const at::Tensor& weight, const graph::Op& op,
              const RowChoice& choice) {
  if (c.kind != Kind::Convolution) return channel_rows(c, x, weight, op, choice);
  const Patches patches = patches_of(as_images(x, weight), weight, op);
  const std::int64_t samples = patches.padded.size(0), channels = patches.padded.size(1),
                     groups = groups_of(op);
  at::Tensor index = patches.index;
  const auto total = static_cast<double>(samples * index.size(0));
  const at::Tensor some = drawn_rows(index.size(0), choice.most / samples, choice.seed);
  if (some.defined()) index = index.index_select(0, some);
  const at::Tensor values = patches.padded.flatten(2).index_select(2, index.flatten());
  return {values.view({samples, groups, channels / groups, index.size(0), index.size(1)})
              .permute({1, 0, 3, 2, 4})
              .reshape({groups, samples * index.size(0), channels / groups * index.size(1)}),
          total};
}

}  // namespace pollard::pruning
