// SPDX-License-Identifier: Apache-2.0
#include "kernels/recurrent/mlstm.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>

#include "kernels/cuda_operators.h"
#include "kernels/gradients.h"
#include "kernels/recurrent/mlstm_head.h"

namespace pollard::kernels {
namespace {

/// Of one head, row after row.
struct MlstmRows {
  const float *q, *k, *v;
  std::int64_t q_stride, k_stride, v_stride;
  float* h;
  std::int64_t h_stride;
};

struct Kernel {
  std::int64_t panel;
  std::int64_t (*scratch_floats)(const MlstmHead&);
  void (*run)(const MlstmHead&, const MlstmRows&, float*);
};

}  // namespace
}  // namespace pollard::kernels

#define POLLARD_TILE "kernels/recurrent/mlstm_tile.inc"
#include "kernels/instruction_sets.inc"

namespace pollard::kernels {
namespace {

struct Gates {
  at::Tensor decay, g, top;
};

Gates accumulate(const at::Tensor& i, const at::Tensor& f) {
  const at::Tensor decay = at::log_sigmoid(f).cumsum(-1), g = i.sub(decay);
  return {decay, g, std::get<0>(at::cummax(g, -1))};
}

at::Tensor rows_contiguous(const at::Tensor& t) { return t.stride(3) == 1 ? t : t.contiguous(); }

/// Whether a step costs less with a state: multiply-adds with half of all keys against those with half of a panel's, of
/// reading the state and of adding to it; a quarter for what else that takes.
bool worth_a_state(std::int64_t steps, std::int64_t d, std::int64_t e, std::int64_t panel) {
  return 4 * steps * (d + e) > 5 * (panel * (d + e) + 4 * d * e);
}

at::Tensor run_fused(const Kernel& kernel, const at::Tensor& q_given, const at::Tensor& k_given,
                     const at::Tensor& v_given, const at::Tensor& i, const at::Tensor& f, double eps) {
  const at::Tensor q = rows_contiguous(q_given), k = rows_contiguous(k_given), v = rows_contiguous(v_given);
  const std::int64_t heads = q.size(1), S = q.size(2), d = q.size(3), e = v.size(3);
  const MlstmGates gates = accumulate_gates(i, f, kernel.panel);
  at::Tensor out = at::empty({q.size(0), heads, S, e}, q.options());
  at::parallel_for(0, q.size(0) * heads, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t n = begin; n < end; ++n) {
      const std::int64_t b = n / heads, h = n % heads;
      const auto at_head = [&](const at::Tensor& t) {
        return t.const_data_ptr<float>() + b * t.stride(0) + h * t.stride(1);
      };
      const MlstmHead head = mlstm_head(gates, b, h, d, e, eps, kernel.panel);
      kernel.run(head,
                 {.q = at_head(q),
                  .k = at_head(k),
                  .v = at_head(v),
                  .q_stride = q.stride(2),
                  .k_stride = k.stride(2),
                  .v_stride = v.stride(2),
                  .h = out.mutable_data_ptr<float>() + n * S * e,
                  .h_stride = e},
                 scratch(kernel.scratch_floats(head)));
    }
  });
  return out;
}

void check_shapes(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& i,
                  const at::Tensor& f) {
  const auto leading = q.sizes().slice(0, q.dim() - 1);
  TORCH_CHECK_VALUE(q.dim() == 4 && k.sizes() == q.sizes() && v.dim() == 4 &&
                        v.sizes().slice(0, 3) == leading && i.sizes() == leading && f.sizes() == leading,
                    "mlstm: q and k [B, heads, S, d], v [B, heads, S, e], gates [B, heads, S]");
}

}  // namespace

MlstmGates accumulate_gates(const at::Tensor& i, const at::Tensor& f, std::int64_t beyond) {
  const Gates gates = accumulate(i, f);
  return {at::constant_pad_nd(gates.g, {0, beyond}).contiguous(), gates.top.contiguous(),
          gates.decay.add(gates.top).neg().exp().contiguous()};
}

MlstmHead mlstm_head(const MlstmGates& gates, std::int64_t b, std::int64_t head, std::int64_t width,
                     std::int64_t value_width, double eps, std::int64_t panel) {
  const auto of_head = [&](const at::Tensor& t) {
    return t.const_data_ptr<float>() + b * t.stride(0) + head * t.stride(1);
  };
  const std::int64_t steps = gates.top.size(2);
  return {.g = of_head(gates.g),
          .top = of_head(gates.top),
          .bound = of_head(gates.bound),
          .steps = steps,
          .width = width,
          .value_width = value_width,
          .eps = static_cast<float>(eps),
          .chunked = worth_a_state(steps, width, value_width, panel)};
}

at::Tensor mlstm(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& i,
                 const at::Tensor& f, double eps) {
  check_shapes(q, k, v, i, f);
  if (v.is_meta()) return at::empty(v.sizes(), v.options());  // the library has no cummax there
  bool plain = q.numel() > 0 && v.numel() > 0;
  for (const at::Tensor& t : {q, k, v, i, f})
    plain = plain && t.device() == q.device() && t.scalar_type() == at::kFloat && !follows_gradients(t);
  if (plain && q.is_cpu()) return run_fused(best_kernel(), q, k, v, i, f, eps);
  if (plain && q.is_cuda() && v.size(3) <= cuda::kWidestMlstm) return cuda::mlstm(q, k, v, i, f, eps);
  return mlstm_by_aten(q, k, v, i, f, eps);
}

at::Tensor mlstm_by_aten(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& i,
                         const at::Tensor& f, double eps) {
  const Gates gates = accumulate(i, f);
  // Later positions are clamped before the exponential: an infinity there would make NaN of the gradient.
  const at::Tensor weights = gates.g.unsqueeze(-2).sub(gates.top.unsqueeze(-1)).clamp_max(0).exp().tril();
  const at::Tensor scores = at::matmul(q, k.transpose(-1, -2)).mul(weights);
  const at::Tensor bound = gates.decay.add(gates.top).neg().exp().unsqueeze(-1);
  return at::matmul(scores, v).div(at::maximum(scores.sum(-1, true).abs(), bound).add(eps));
}

at::Tensor mlstm_with(const char* name, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                      const at::Tensor& i, const at::Tensor& f, double eps) {
  check_shapes(q, k, v, i, f);
  return run_fused(kernel_of(name), q, k, v, i, f, eps);
}

TORCH_LIBRARY_FRAGMENT(pollard, library) {
  library.def("mlstm(Tensor q, Tensor k, Tensor v, Tensor i, Tensor f, float eps) -> Tensor", mlstm);
}

}  // namespace pollard::kernels
