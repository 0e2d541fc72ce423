// SPDX-License-Identifier: Apache-2.0
#include "kernels/recurrent/mlstm_cell.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <string>
#include <string_view>
#include <utility>

#include "kernels/recurrent/mlstm.h"

namespace pollard::kernels {
namespace {

/// Tokens [B, S, width] one after the other.
struct TokenRows {
  const float* data = nullptr;
  std::int64_t steps = 0, batch_stride = 0, stride = 0;
  const float* row(std::int64_t token) const {
    return data + token / steps * batch_stride + token % steps * stride;
  }
};

struct CellInputs {
  TokenRows c, x;
  const float *blocks, *gates;
  float* qkv;          ///< three planes [B, S, width]
  float* gate_values;  ///< [B, 2 heads, S]
  std::int64_t plane, steps, width, padded, gate_count;
};

struct CellOutputs {
  const float* h;  ///< [B, heads, S, d]
  TokenRows c, z;
  const float* ends;
  float* y;
  std::int64_t steps, heads, head_width, padded;
  float norm_eps;
};

struct CausalConv {
  TokenRows x;
  const float *weight, *bias;
  float* y;
  std::int64_t steps, width, kernel;
  bool silu;
};

struct Kernel {
  void (*begin)(const CellInputs&, std::int64_t begin, std::int64_t end);
  void (*end)(const CellOutputs&, std::int64_t begin, std::int64_t end);
  void (*causal)(const CausalConv&, std::int64_t begin, std::int64_t end);
};

}  // namespace
}  // namespace pollard::kernels

#define POLLARD_TILE "kernels/recurrent/mlstm_cell_tile.inc"
#include "kernels/instruction_sets.inc"

namespace pollard::kernels {
namespace {

/// A block has four channels; the most lanes of a vector.
constexpr std::int64_t kBlock = 4, kMostLanes = 16, kTokensAtOnce = 16;

at::Tensor rows_contiguous(const at::Tensor& t) { return t.stride(2) == 1 ? t : t.contiguous(); }

TokenRows rows_of(const at::Tensor& t) {
  return {t.const_data_ptr<float>(), t.size(1), t.stride(0), t.stride(1)};
}

bool is_plain(const at::Tensor& t, std::int64_t dims) {
  return t.dim() == dims && t.is_cpu() && t.scalar_type() == at::kFloat;
}

/// Zeros up to the last whole vector.
at::Tensor padded(const at::Tensor& t) {
  const std::int64_t over = (kMostLanes - t.size(-1) % kMostLanes) % kMostLanes;
  return at::constant_pad_nd(t, {0, over});
}

at::Tensor run(const Kernel& kernel, const at::Tensor& c_given, const at::Tensor& x_given,
               const at::Tensor& z_given, const PackedMlstmCell& packed, double eps, double norm_eps) {
  const at::Tensor c = rows_contiguous(c_given), x = rows_contiguous(x_given), z = rows_contiguous(z_given);
  const std::int64_t B = c.size(0), S = c.size(1), width = c.size(2), heads = packed.gates.size(0) / 2,
                     d = width / heads, tokens = B * S, row = packed.ends.size(1);
  const at::Tensor qkv = at::empty({3, B, S, heads, d}, c.options()),
                   gates = at::empty({B, 2, heads, S}, c.options());
  const CellInputs in{.c = rows_of(c),
                      .x = rows_of(x),
                      .blocks = packed.blocks.const_data_ptr<float>(),
                      .gates = packed.gates.const_data_ptr<float>(),
                      .qkv = qkv.mutable_data_ptr<float>(),
                      .gate_values = gates.mutable_data_ptr<float>(),
                      .plane = tokens * width,
                      .steps = S,
                      .width = width,
                      .padded = row,
                      .gate_count = 2 * heads};
  at::parallel_for(0, tokens, kTokensAtOnce,
                   [&](std::int64_t begin, std::int64_t end) { kernel.begin(in, begin, end); });
  const auto head_rows = [&](std::int64_t which) { return qkv.select(0, which).transpose(1, 2); };
  const at::Tensor h = mlstm(head_rows(0), head_rows(1), head_rows(2), gates.select(1, 0), gates.select(1, 1),
                             eps),
                   y = at::empty({B, S, width}, c.options());
  const CellOutputs out{.h = h.const_data_ptr<float>(),
                        .c = in.c,
                        .z = rows_of(z),
                        .ends = packed.ends.const_data_ptr<float>(),
                        .y = y.mutable_data_ptr<float>(),
                        .steps = S,
                        .heads = heads,
                        .head_width = d,
                        .padded = row,
                        .norm_eps = static_cast<float>(norm_eps)};
  at::parallel_for(0, tokens, kTokensAtOnce,
                   [&](std::int64_t begin, std::int64_t end) { kernel.end(out, begin, end); });
  return y;
}

void check(const at::Tensor& c, const at::Tensor& x, const at::Tensor& z, const PackedMlstmCell& p) {
  const bool rows = is_plain(c, 3) && is_plain(x, 3) && is_plain(z, 3) && x.sizes() == c.sizes() &&
                    z.sizes() == c.sizes() && c.numel() > 0 && c.size(2) % kBlock == 0;
  const std::int64_t width = rows ? (c.size(2) + kMostLanes - 1) / kMostLanes * kMostLanes : 0;
  const bool weights = is_plain(p.blocks, 3) && is_plain(p.gates, 2) && is_plain(p.ends, 2) &&
                       p.blocks.sizes() == at::IntArrayRef({3, kBlock + 1, width}) &&
                       p.gates.size(1) == 2 * width + 1 && p.ends.sizes() == at::IntArrayRef({3, width}) &&
                       p.gates.size(0) > 0 && p.gates.size(0) % 2 == 0;
  TORCH_CHECK_VALUE(rows && weights && c.size(2) % (p.gates.size(0) / 2) == 0,
                    "packed_mlstm_cell: ", c.sizes(), ", ", x.sizes(), ", ", z.sizes(), " with ",
                    p.blocks.sizes(), ", ", p.gates.sizes(), ", ", p.ends.sizes());
}

at::Tensor packed_mlstm_cell(const at::Tensor& c, const at::Tensor& x, const at::Tensor& z,
                             const at::Tensor& blocks, const at::Tensor& gates, const at::Tensor& ends,
                             double eps, double norm_eps) {
  const PackedMlstmCell packed{blocks, gates, ends};
  check(c, x, z, packed);
  return run(best_kernel(), c, x, z, packed, eps, norm_eps);
}

at::Tensor cell_form(const at::Tensor& c, const at::Tensor&, const at::Tensor&, const at::Tensor&,
                     const at::Tensor&, const at::Tensor&, double, double) {
  return at::empty(c.sizes(), c.options());
}

at::Tensor run_causal(const Kernel& kernel, const at::Tensor& given, const at::Tensor& weight,
                      const at::Tensor& bias, std::string_view activation) {
  TORCH_CHECK_VALUE(is_plain(given, 3) && is_plain(weight, 2) && weight.size(1) == given.size(2) &&
                        is_plain(bias, 1) && bias.size(0) == given.size(2) && weight.is_contiguous() &&
                        (activation == "none" || activation == "silu"),
                    "packed_causal_conv1d: ", given.sizes(), " by ", weight.sizes(), ", ", activation);
  const at::Tensor x = rows_contiguous(given), b = bias.contiguous(), y = at::empty(x.sizes(), x.options());
  if (y.numel() == 0) return y;
  const CausalConv conv{.x = rows_of(x),
                        .weight = weight.const_data_ptr<float>(),
                        .bias = b.const_data_ptr<float>(),
                        .y = y.mutable_data_ptr<float>(),
                        .steps = x.size(1),
                        .width = x.size(2),
                        .kernel = weight.size(0),
                        .silu = activation == "silu"};
  at::parallel_for(0, x.size(0) * x.size(1), kTokensAtOnce,
                   [&](std::int64_t begin, std::int64_t end) { kernel.causal(conv, begin, end); });
  return y;
}

at::Tensor packed_causal_conv1d(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                                std::string_view activation) {
  return run_causal(best_kernel(), x, weight, bias, activation);
}

at::Tensor causal_form(const at::Tensor& x, const at::Tensor&, const at::Tensor&, std::string_view) {
  return at::empty(x.sizes(), x.options());
}

/// [width / 4, out, in] as [in, width], the bias behind.
at::Tensor block_rows(const at::Tensor& blocks, const std::optional<at::Tensor>& bias) {
  const at::Tensor rows = blocks.permute({2, 0, 1}).reshape({kBlock, -1});
  return at::cat({rows, bias ? bias->unsqueeze(0) : at::zeros({1, rows.size(1)}, rows.options())});
}

/// Gates [n, width] of what a block-diagonal matrix gives, as gates of what it is given.
at::Tensor through(const at::Tensor& gates, const at::Tensor& blocks) {
  return at::einsum("ngo,goi->ngi", {gates.reshape({gates.size(0), -1, kBlock}), blocks})
      .reshape(gates.sizes());
}

}  // namespace

PackedMlstmCell pack_mlstm_cell(const MlstmCellWeights& w) {
  const auto wide = [](const at::Tensor& t) { return t.to(at::kDouble); };
  const std::int64_t width = w.skip.size(0);
  const auto k_bias = w.k_bias ? std::optional(w.k_bias->mul(w.scale)) : std::nullopt;
  const at::Tensor blocks =
      at::stack({block_rows(w.q, w.q_bias), block_rows(w.k.mul(w.scale), k_bias), block_rows(w.v, w.v_bias)});
  const auto gates = wide(at::cat({w.i, w.f})).split(width, 1);
  at::Tensor bias = wide(at::cat({w.i_bias, w.f_bias}));
  for (const auto& [own, of] :
       {std::pair(gates[0], w.q_bias), std::pair(gates[1], w.k_bias), std::pair(gates[2], w.v_bias)})
    if (of) bias = bias.add(own.mv(wide(*of)));
  const at::Tensor of_c = through(gates[0], wide(w.q)).add(through(gates[1], wide(w.k))),
                   of_x = through(gates[2], wide(w.v));
  const at::Tensor norm_bias = w.norm_bias ? *w.norm_bias : at::zeros_like(w.norm);
  return {padded(blocks).contiguous(),
          at::cat({padded(of_c), padded(of_x), bias.unsqueeze(1)}, 1).to(at::kFloat).contiguous(),
          padded(at::stack({w.norm, norm_bias, w.skip})).contiguous()};
}

at::Tensor mlstm_cell_with(const char* name, const at::Tensor& c, const at::Tensor& x, const at::Tensor& z,
                           const PackedMlstmCell& packed, double eps, double norm_eps) {
  check(c, x, z, packed);
  return run(kernel_of(name), c, x, z, packed, eps, norm_eps);
}

at::Tensor mlstm_cell_by_aten(const at::Tensor& c, const at::Tensor& x, const at::Tensor& z,
                              const MlstmCellWeights& w, double eps, double norm_eps) {
  const std::int64_t B = c.size(0), S = c.size(1), width = c.size(2), heads = w.i.size(0);
  const auto blocks = [&](const at::Tensor& t, const at::Tensor& by, const std::optional<at::Tensor>& bias) {
    const at::Tensor y =
        at::einsum("bsgi,goi->bsgo", {t.reshape({B, S, -1, kBlock}), by}).reshape({B, S, width});
    return bias ? y.add(*bias) : y;
  };
  const at::Tensor q = blocks(c, w.q, w.q_bias), k = blocks(c, w.k, w.k_bias), v = blocks(x, w.v, w.v_bias),
                   all = at::cat({q, k, v}, -1);
  const auto split = [&](const at::Tensor& t) { return t.view({B, S, heads, -1}).transpose(1, 2); };
  const at::Tensor h =
      mlstm_by_aten(split(q), split(k).mul(w.scale), split(v), at::linear(all, w.i, w.i_bias).transpose(1, 2),
                    at::linear(all, w.f, w.f_bias).transpose(1, 2), eps);
  const at::Tensor normed =
      at::layer_norm(h, {h.size(3)}, {}, {}, norm_eps).transpose(1, 2).reshape({B, S, width});
  const at::Tensor y = normed.mul(w.norm).add(w.norm_bias ? *w.norm_bias : at::zeros_like(w.norm));
  return y.addcmul(w.skip, c).mul(at::silu(z));
}

at::Tensor causal_conv1d_with(const char* name, const at::Tensor& x, const at::Tensor& weight,
                              const at::Tensor& bias, const std::string& activation) {
  return run_causal(kernel_of(name), x, weight, bias, activation);
}

TORCH_LIBRARY_FRAGMENT(pollard, library) {
  library.def(
      "packed_mlstm_cell(Tensor c, Tensor x, Tensor z, Tensor blocks, Tensor gates, Tensor ends, float eps, "
      "float "
      "norm_eps) -> Tensor",
      torch::dispatch(c10::DispatchKey::CPU, TORCH_FN(packed_mlstm_cell)));
  library.def("packed_causal_conv1d(Tensor input, Tensor weight, Tensor bias, str activation) -> Tensor",
              torch::dispatch(c10::DispatchKey::CPU, TORCH_FN(packed_causal_conv1d)));
}

TORCH_LIBRARY_IMPL(pollard, Meta, library) {
  library.impl("packed_mlstm_cell", TORCH_FN(cell_form));
  library.impl("packed_causal_conv1d", TORCH_FN(causal_form));
}

}  // namespace pollard::kernels
