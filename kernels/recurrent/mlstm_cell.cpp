// SPDX-License-Identifier: Apache-2.0
#include "kernels/recurrent/mlstm_cell.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include "kernels/recurrent/mlstm.h"
#include "kernels/recurrent/mlstm_head.h"

namespace pollard::kernels {
namespace {

/// Tokens of one sequence, in the order in which they are visited.
template <class T>
struct Rows {
  T* data = nullptr;
  std::int64_t stride = 0;
  T* row(std::int64_t s) const { return data + s * stride; }
};

/// Of sequences [B, S, width] one behind the other.
template <class T>
struct TokenRows {
  Rows<T> first;
  std::int64_t steps = 0, batch_stride = 0;
  T* row(std::int64_t token) const { return first.row(token % steps) + token / steps * batch_stride; }
};

struct CellGates {
  TokenRows<const float> c, x;
  const float* weights;
  float* values;  ///< [B, count, steps]
  std::int64_t steps, width, padded, count;
};

/// One head of one sequence.
struct CellHead {
  Rows<const float> c, x, z;
  const float *blocks, *ends;
  Rows<float> y;
  std::int64_t head, padded;
  float norm_eps;
};

struct CausalConv {
  TokenRows<const float> x;
  const float *weight, *bias;
  TokenRows<float> y;
  std::int64_t steps, width, kernel;
  bool silu;
};

struct Kernel {
  std::int64_t panel;
  void (*gates)(const CellGates&, std::int64_t begin, std::int64_t end);
  std::int64_t (*scratch_floats)(const MlstmHead&);
  void (*run)(const MlstmHead&, const CellHead&, float*);
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

/// In which order tokens are visited.
enum class Visit : bool { Forwards, Backwards };
Visit visit_of(bool backwards) { return backwards ? Visit::Backwards : Visit::Forwards; }

template <class T>
TokenRows<T> rows_at(T* data, const at::Tensor& t, Visit visit) {
  const std::int64_t last = (t.size(1) - 1) * t.stride(1);
  const Rows<T> first =
      visit == Visit::Forwards ? Rows<T>{data, t.stride(1)} : Rows<T>{data + last, -t.stride(1)};
  return {first, t.size(1), t.stride(0)};
}
TokenRows<const float> rows_of(const at::Tensor& t, Visit visit) {
  return rows_at(t.const_data_ptr<float>(), t, visit);
}
TokenRows<float> new_rows_of(at::Tensor& t, Visit visit) {
  return rows_at(t.mutable_data_ptr<float>(), t, visit);
}

/// Sequence number b.
template <class T>
Rows<T> sequence(const TokenRows<T>& rows, std::int64_t b) {
  return {rows.first.data + b * rows.batch_stride, rows.first.stride};
}

bool is_plain(const at::Tensor& t, std::int64_t dims) {
  return t.dim() == dims && t.is_cpu() && t.scalar_type() == at::kFloat;
}

/// Zeros up to the last whole vector.
at::Tensor padded(const at::Tensor& t) {
  const std::int64_t over = (kMostLanes - t.size(-1) % kMostLanes) % kMostLanes;
  return at::constant_pad_nd(t, {0, over});
}

/// The gates i and f, [B, 2 heads, S].
at::Tensor gates_of(const Kernel& kernel, const at::Tensor& c, const at::Tensor& x,
                    const PackedMlstmCell& packed, Visit visit) {
  const std::int64_t B = c.size(0), S = c.size(1), count = packed.gates.size(0);
  at::Tensor gates = at::empty({B, count, S}, c.options());
  const CellGates in{.c = rows_of(c, visit),
                     .x = rows_of(x, visit),
                     .weights = packed.gates.const_data_ptr<float>(),
                     .values = gates.mutable_data_ptr<float>(),
                     .steps = S,
                     .width = c.size(2),
                     .padded = packed.ends.size(1),
                     .count = count};
  at::parallel_for(0, B * S, kTokensAtOnce,
                   [&](std::int64_t begin, std::int64_t end) { kernel.gates(in, begin, end); });
  return gates;
}

at::Tensor run(const Kernel& kernel, const at::Tensor& c_given, const at::Tensor& x_given,
               const at::Tensor& z_given, const PackedMlstmCell& packed, double eps, double norm_eps,
               Visit visit) {
  const at::Tensor c = rows_contiguous(c_given), x = rows_contiguous(x_given), z = rows_contiguous(z_given);
  const std::int64_t B = c.size(0), S = c.size(1), width = c.size(2), heads = packed.gates.size(0) / 2,
                     d = width / heads;
  const auto both = gates_of(kernel, c, x, packed, visit).chunk(2, 1);
  const MlstmGates gates = accumulate_gates(both[0], both[1], kernel.panel);
  at::Tensor y = at::empty({B, S, width}, c.options());
  const TokenRows<const float> of_c = rows_of(c, visit), of_x = rows_of(x, visit), of_z = rows_of(z, visit);
  const TokenRows<float> of_y = new_rows_of(y, visit);
  at::parallel_for(0, B * heads, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t n = begin; n < end; ++n) {
      const std::int64_t b = n / heads;
      const MlstmHead head = mlstm_head(gates, b, n % heads, d, d, eps, kernel.panel);
      kernel.run(head,
                 {.c = sequence(of_c, b),
                  .x = sequence(of_x, b),
                  .z = sequence(of_z, b),
                  .blocks = packed.blocks.const_data_ptr<float>(),
                  .ends = packed.ends.const_data_ptr<float>(),
                  .y = sequence(of_y, b),
                  .head = n % heads,
                  .padded = packed.ends.size(1),
                  .norm_eps = static_cast<float>(norm_eps)},
                 scratch(kernel.scratch_floats(head)));
    }
  });
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
                             double eps, double norm_eps, bool backwards) {
  const PackedMlstmCell packed{blocks, gates, ends};
  check(c, x, z, packed);
  return run(best_kernel(), c, x, z, packed, eps, norm_eps, visit_of(backwards));
}

at::Tensor cell_form(const at::Tensor& c, const at::Tensor&, const at::Tensor&, const at::Tensor&,
                     const at::Tensor&, const at::Tensor&, double, double, bool) {
  return at::empty(c.sizes(), c.options());
}

at::Tensor run_causal(const Kernel& kernel, const at::Tensor& given, const at::Tensor& weight,
                      const at::Tensor& bias, std::string_view activation, Visit visit) {
  TORCH_CHECK_VALUE(is_plain(given, 3) && is_plain(weight, 2) && weight.size(1) == given.size(2) &&
                        is_plain(bias, 1) && bias.size(0) == given.size(2) && weight.is_contiguous() &&
                        (activation == "none" || activation == "silu"),
                    "packed_causal_conv1d: ", given.sizes(), " by ", weight.sizes(), ", ", activation);
  const at::Tensor x = rows_contiguous(given), b = bias.contiguous();
  at::Tensor y = at::empty(x.sizes(), x.options());
  if (y.numel() == 0) return y;
  const CausalConv conv{.x = rows_of(x, visit),
                        .weight = weight.const_data_ptr<float>(),
                        .bias = b.const_data_ptr<float>(),
                        .y = new_rows_of(y, visit),
                        .steps = x.size(1),
                        .width = x.size(2),
                        .kernel = weight.size(0),
                        .silu = activation == "silu"};
  at::parallel_for(0, x.size(0) * x.size(1), kTokensAtOnce,
                   [&](std::int64_t begin, std::int64_t end) { kernel.causal(conv, begin, end); });
  return y;
}

at::Tensor packed_causal_conv1d(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                                std::string_view activation, bool backwards) {
  return run_causal(best_kernel(), x, weight, bias, activation, visit_of(backwards));
}

at::Tensor causal_form(const at::Tensor& x, const at::Tensor&, const at::Tensor&, std::string_view, bool) {
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
                           const PackedMlstmCell& packed, double eps, double norm_eps, bool backwards) {
  check(c, x, z, packed);
  return run(kernel_of(name), c, x, z, packed, eps, norm_eps, visit_of(backwards));
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
                              const at::Tensor& bias, const std::string& activation, bool backwards) {
  return run_causal(kernel_of(name), x, weight, bias, activation, visit_of(backwards));
}

TORCH_LIBRARY_FRAGMENT(pollard, library) {
  library.def(
      "packed_mlstm_cell(Tensor c, Tensor x, Tensor z, Tensor blocks, Tensor gates, Tensor ends, float eps, "
      "float norm_eps, bool backwards) -> Tensor",
      torch::dispatch(c10::DispatchKey::CPU, TORCH_FN(packed_mlstm_cell)));
  library.def(
      "packed_causal_conv1d(Tensor input, Tensor weight, Tensor bias, str activation, bool backwards) -> "
      "Tensor",
      torch::dispatch(c10::DispatchKey::CPU, TORCH_FN(packed_causal_conv1d)));
}

TORCH_LIBRARY_IMPL(pollard, Meta, library) {
  library.impl("packed_mlstm_cell", TORCH_FN(cell_form));
  library.impl("packed_causal_conv1d", TORCH_FN(causal_form));
}

}  // namespace pollard::kernels
