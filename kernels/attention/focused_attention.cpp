// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention/focused_attention.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>

#include "kernels/cuda_operators.h"
#include "kernels/gradients.h"

namespace pollard::kernels {
namespace {

/// Rows [batch, row] of a tensor whose last dimension is contiguous.
struct Rows {
  const float* data;
  std::int64_t batch_stride, row_stride;
  const float* row(std::int64_t b, std::int64_t r) const { return data + b * batch_stride + r * row_stride; }
};

struct FocusedCall {
  Rows q, k, v;
  const float* gain;
  std::int64_t queries, keys, heads, d, e, factor;
  std::int64_t padded_d, vectors, blocks;  ///< e in `blocks` blocks of `vectors` vectors
  float* focused;                          ///< [B, keys, heads d]
  float* mixed;                            ///< [B, heads, blocks, d, block]
  float* means;                            ///< [B, heads, padded_d]
  float* out;                              ///< [B, queries, heads e]
};

struct Kernel {
  std::int64_t lanes, rows;
  void (*focus_key)(const FocusedCall&, std::int64_t row);
  void (*mix_head)(const FocusedCall&, std::int64_t head, float* scratch);
  void (*attend)(const FocusedCall&, std::int64_t begin, std::int64_t end, float* scratch);
};

}  // namespace
}  // namespace pollard::kernels

#define POLLARD_TILE "kernels/attention/focused_tile.inc"
#include "kernels/instruction_sets.inc"

namespace pollard::kernels {
namespace {

void check(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& gain,
           FocusedOptions o) {
  TORCH_CHECK_VALUE(o.heads > 0 && o.factor > 0, "focused_linear_attention: heads and factor are positive");
  TORCH_CHECK_VALUE(q.dim() == 3 && k.dim() == 3 && v.dim() == 3 && k.size(0) == q.size(0) &&
                        v.size(0) == q.size(0) && k.size(2) == q.size(2) && v.size(1) == k.size(1) &&
                        gain.numel() == q.size(2) && gain.dim() > 0 && gain.size(-1) == q.size(2) &&
                        q.size(2) % o.heads == 0 && v.size(2) % o.heads == 0,
                    "focused_linear_attention: q [B, N, C], k [B, n, C], v [B, n, heads e], gain [C], got ",
                    q.sizes(), k.sizes(), v.sizes(), gain.sizes());
}

at::Tensor rows_contiguous(const at::Tensor& t) { return t.stride(2) == 1 ? t : t.contiguous(); }
Rows rows_of(const at::Tensor& t) { return {t.const_data_ptr<float>(), t.stride(0), t.stride(1)}; }
std::int64_t rounded_up(std::int64_t n, std::int64_t to) { return (n + to - 1) / to * to; }

at::Tensor run_fused(const Kernel& kernel, const at::Tensor& q_given, const at::Tensor& k_given,
                     const at::Tensor& v_given, const at::Tensor& gain_given, FocusedOptions o) {
  const at::Tensor q = rows_contiguous(q_given), k = rows_contiguous(k_given), v = rows_contiguous(v_given),
                   gain = gain_given.contiguous();
  const std::int64_t batch = q.size(0), queries = q.size(1), keys = k.size(1), width = q.size(2),
                     d = width / o.heads, e = v.size(2) / o.heads;
  const std::int64_t whole = rounded_up(e, kernel.lanes) / kernel.lanes, blocks = (whole + 3) / 4,
                     vectors = (whole + blocks - 1) / blocks, block = vectors * kernel.lanes,
                     padded_d = rounded_up(d, kernel.lanes);
  // Sums over a head's last channels read up to a vector beyond them.
  at::Tensor focused = at::empty({batch * keys * width + kernel.lanes}, q.options()),
             mixed = at::empty({batch * o.heads * blocks * d * block}, q.options()),
             means = at::empty({batch * o.heads * padded_d}, q.options()),
             out = at::empty({batch, queries, v.size(2)}, q.options());
  const FocusedCall call{.q = rows_of(q),
                         .k = rows_of(k),
                         .v = rows_of(v),
                         .gain = gain.const_data_ptr<float>(),
                         .queries = queries,
                         .keys = keys,
                         .heads = o.heads,
                         .d = d,
                         .e = e,
                         .factor = o.factor,
                         .padded_d = padded_d,
                         .vectors = vectors,
                         .blocks = blocks,
                         .focused = focused.mutable_data_ptr<float>(),
                         .mixed = mixed.mutable_data_ptr<float>(),
                         .means = means.mutable_data_ptr<float>(),
                         .out = out.mutable_data_ptr<float>()};
  at::parallel_for(0, batch * keys, 32, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) kernel.focus_key(call, row);
  });
  at::parallel_for(0, batch * o.heads, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t head = begin; head < end; ++head) kernel.mix_head(call, head, scratch(keys * block));
  });
  at::parallel_for(0, batch * queries, 32, [&](std::int64_t begin, std::int64_t end) {
    kernel.attend(call, begin, end, scratch(kernel.rows * (width + kernel.lanes)));
  });
  return out;
}

at::Tensor by_heads(const at::Tensor& x, std::int64_t heads) {
  return x.reshape({x.size(0), x.size(1), heads, x.size(2) / heads}).transpose(1, 2);
}

at::Tensor focus(const at::Tensor& x, const at::Tensor& gain, std::int64_t factor) {
  const at::Tensor a = at::relu(x).add(1e-6).mul(gain), sharp = at::pow(a, factor);
  const auto length = [](const at::Tensor& t) { return at::linalg_vector_norm(t, 2, {-1}, true); };
  return sharp.div(length(sharp)).mul(length(a));
}

at::Tensor by_operator(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& gain,
                       std::int64_t heads, std::int64_t factor) {
  return focused_attention(q, k, v, gain, {heads, factor});
}

}  // namespace

at::Tensor focused_attention_by_aten(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                     const at::Tensor& gain, FocusedOptions o) {
  check(q, k, v, gain, o);
  const at::Tensor qh = by_heads(focus(q, gain, o.factor), o.heads),
                   kh = by_heads(focus(k, gain, o.factor), o.heads), vh = by_heads(v, o.heads);
  const double each = 1 / std::sqrt(static_cast<double>(k.size(1)));
  const at::Tensor total = at::matmul(qh, kh.mean(2, true).transpose(2, 3)).add(1e-6);
  const at::Tensor mixed = at::matmul(kh.mul(each).transpose(2, 3), vh.mul(each));
  return at::matmul(qh, mixed).div(total).transpose(1, 2).reshape({q.size(0), q.size(1), v.size(2)});
}

at::Tensor focused_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                             const at::Tensor& gain, FocusedOptions o) {
  check(q, k, v, gain, o);
  if (q.is_meta()) return at::empty({q.size(0), q.size(1), v.size(2)}, v.options());
  bool fused = q.numel() > 0 && v.numel() > 0;
  for (const at::Tensor& t : {q, k, v, gain})
    fused = fused && t.device() == q.device() && t.scalar_type() == at::kFloat && !follows_gradients(t);
  if (fused && q.is_cpu()) return run_fused(best_kernel(), q, k, v, gain, o);
  if (fused && q.is_cuda()) return cuda::focused_attention(q, k, v, gain, o);
  return focused_attention_by_aten(q, k, v, gain, o);
}

at::Tensor focused_attention_with(const char* name, const at::Tensor& q, const at::Tensor& k,
                                  const at::Tensor& v, const at::Tensor& gain, FocusedOptions o) {
  check(q, k, v, gain, o);
  return run_fused(kernel_of(name), q, k, v, gain, o);
}

TORCH_LIBRARY_FRAGMENT(pollard, library) {
  library.def(
      "focused_linear_attention(Tensor q, Tensor k, Tensor v, Tensor gain, int heads, int factor) -> Tensor",
      by_operator);
}

}  // namespace pollard::kernels
