// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention/masked_attention.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/cuda_operators.h"
#include "kernels/gradients.h"

namespace pollard::kernels {
namespace {

/// Rows [batch, head, row] of a tensor whose last dimension is contiguous.
struct HeadRows {
  const float* data = nullptr;
  std::int64_t batch_stride = 0, head_stride = 0, row_stride = 0;
  const float* row(std::int64_t b, std::int64_t h, std::int64_t r) const {
    return data + b * batch_stride + h * head_stride + r * row_stride;
  }
};

struct MaskedCall {
  HeadRows q, k, v, mask;
  const float* gates;  ///< [batch, heads]
  float* out;          ///< [batch, queries, heads, e]
  std::int64_t heads, queries, keys, d, e;
  float scale;
  bool causal;
};

struct Kernel {
  std::int64_t (*scratch_floats)(const MaskedCall&);
  void (*attend_head)(const MaskedCall&, std::int64_t head, float* scratch);
};

}  // namespace
}  // namespace pollard::kernels

#define POLLARD_TILE "kernels/attention/masked_tile.inc"
#include "kernels/instruction_sets.inc"

namespace pollard::kernels {
namespace {

/// A head's keys and values have to stay in a core's cache.
constexpr std::int64_t kMostFloats = std::int64_t{1} << 18;
/// Queries that pay for putting a head's keys and values in order.
constexpr std::int64_t kFewestQueries = 4;

using Gate = std::optional<at::Tensor>;

void check(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const Gate& gate) {
  const bool heads = q.dim() == 4 && k.dim() == 4 && v.dim() == 4 &&
                     q.sizes().slice(0, 2) == k.sizes().slice(0, 2) &&
                     k.sizes().slice(0, 3) == v.sizes().slice(0, 3) && q.size(3) == k.size(3);
  const bool fits =
      !gate || (heads && (gate->sizes() == q.sizes().slice(1, 1) || gate->sizes() == q.sizes().slice(0, 2)));
  TORCH_CHECK_VALUE(heads && fits,
                    "masked_attention: query [B, heads, L, E], key [B, heads, S, E], value [B, heads, S, D], "
                    "gate [heads] or [B, heads], got ",
                    q.sizes(), k.sizes(), v.sizes(), gate ? gate->sizes() : at::IntArrayRef());
}

/// Those rows of [B, heads, ..] read as [B heads, ..] whose gate is open, as the heads of one batch.
at::Tensor opened(const at::Tensor& t, const at::Tensor& open) {
  return t.flatten(0, 1).index_select(0, open).unsqueeze(0);
}

/// A mask for opened heads; one that is the same for all stays.
std::optional<at::Tensor> opened_mask(const MaskedOptions& o, const at::Tensor& q, const at::Tensor& open) {
  if (!o.mask || o.mask->dim() <= 2) return o.mask;
  return opened(o.mask->expand({q.size(0), q.size(1), o.mask->size(-2), o.mask->size(-1)}), open);
}

at::Tensor of_open_heads(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                         const at::Tensor& gates, const at::Tensor& open, const MaskedOptions& o) {
  const at::Tensor y = at::scaled_dot_product_attention(opened(q, open), opened(k, open), opened(v, open),
                                                        opened_mask(o, q, open), 0.0, o.causal, o.scale);
  const at::Tensor gated = y.squeeze(0).mul(gates.index_select(0, open).view({-1, 1, 1}));
  const at::Tensor out = at::zeros({q.size(0) * q.size(1), q.size(2), v.size(3)}, y.options());
  return out.index_copy(0, open, gated).view({q.size(0), q.size(1), q.size(2), v.size(3)});
}

// In one kernel ------------------------------------------------------------------------------------------------

bool fits_kernel(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const Gate& gate,
                 const MaskedOptions& o) {
  const auto here = [&](const at::Tensor& t) { return t.device() == q.device(); };
  const auto plain = [&](const at::Tensor& t) { return here(t) && t.scalar_type() == at::kFloat; };
  const bool mask = !o.mask || (o.mask->dim() >= 2 && here(*o.mask) &&
                                (o.mask->scalar_type() == at::kBool || plain(*o.mask)));
  const bool size = q.is_cpu()
                        ? q.size(2) >= kFewestQueries && k.size(2) * (k.size(3) + v.size(3)) <= kMostFloats
                        : q.is_cuda() && v.size(3) <= cuda::kWidestMasked;
  return mask && plain(q) && plain(k) && plain(v) && (!gate || plain(*gate)) && q.numel() > 0 &&
         v.numel() > 0 && size;
}

at::Tensor rows_contiguous(const at::Tensor& t) { return t.stride(-1) == 1 ? t : t.contiguous(); }

HeadRows rows_of(const at::Tensor& t) {
  return {t.const_data_ptr<float>(), t.stride(0), t.stride(1), t.stride(2)};
}

/// What is added to the scores, [B, heads, L, S] by strides; rows of one number become whole ones.
at::Tensor added(const at::Tensor& mask, const at::Tensor& q, const at::Tensor& k) {
  at::Tensor sum = mask;
  if (mask.scalar_type() == at::kBool)
    sum = at::zeros(mask.sizes(), q.options())
              .masked_fill(mask.logical_not(), -std::numeric_limits<double>::infinity());
  std::vector<std::int64_t> rows = sum.sizes().vec();
  rows.back() = k.size(2);
  return rows_contiguous(sum.expand(rows)).expand({q.size(0), q.size(1), q.size(2), k.size(2)});
}

at::Tensor run_fused(const Kernel& kernel, const at::Tensor& q_given, const at::Tensor& k_given,
                     const at::Tensor& v_given, const Gate& gate, const MaskedOptions& o) {
  const at::Tensor q = rows_contiguous(q_given), k = rows_contiguous(k_given), v = rows_contiguous(v_given);
  const std::int64_t batch = q.size(0), heads = q.size(1), queries = q.size(2), d = q.size(3), e = v.size(3);
  const at::Tensor gates =
                       (gate ? *gate : at::ones({heads}, q.options())).expand({batch, heads}).contiguous(),
                   mask = o.mask ? added(*o.mask, q, k) : at::Tensor();
  const double scale = o.scale.value_or(1 / std::sqrt(static_cast<double>(d)));
  if (q.is_cuda()) return cuda::masked_attention(q, k, v, gates, mask, scale, o.causal);
  const at::Tensor out = at::empty({batch, queries, heads, e}, q.options());
  const MaskedCall call{.q = rows_of(q),
                        .k = rows_of(k),
                        .v = rows_of(v),
                        .mask = mask.defined() ? rows_of(mask) : HeadRows(),
                        .gates = gates.const_data_ptr<float>(),
                        .out = out.mutable_data_ptr<float>(),
                        .heads = heads,
                        .queries = queries,
                        .keys = k.size(2),
                        .d = d,
                        .e = e,
                        .scale = static_cast<float>(scale),
                        .causal = o.causal};
  std::vector<std::int64_t> open;
  for (std::int64_t h = 0; h < batch * heads; ++h) {
    if (call.gates[h] != 0)
      open.push_back(h);
    else
      out.select(0, h / heads).select(1, h % heads).zero_();
  }
  const std::int64_t work = queries * call.keys * (d + e),
                     grain = std::max<std::int64_t>(1, (1 << 18) / work);
  at::parallel_for(0, std::ssize(open), grain, [&](std::int64_t begin, std::int64_t end) {
    float* const memory = scratch(kernel.scratch_floats(call));
    for (std::int64_t i = begin; i < end; ++i)
      kernel.attend_head(call, open[static_cast<std::size_t>(i)], memory);
  });
  return out.transpose(1, 2);
}

at::Tensor by_operator(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                       const Gate& gate, const std::optional<at::Tensor>& mask, bool causal,
                       std::optional<double> scale) {
  return masked_attention(query, key, value, gate, {mask, causal, scale});
}

}  // namespace

at::Tensor masked_attention_by_aten(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                    const std::optional<at::Tensor>& gate, const MaskedOptions& o) {
  check(q, k, v, gate);
  const at::Tensor y = at::scaled_dot_product_attention(q, k, v, o.mask, 0.0, o.causal, o.scale);
  return gate ? y.mul(gate->unsqueeze(-1).unsqueeze(-1)) : y;
}

at::Tensor masked_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const std::optional<at::Tensor>& gate, const MaskedOptions& o) {
  check(q, k, v, gate);
  if (q.is_meta()) return at::empty({q.size(0), q.size(1), q.size(2), v.size(3)}, v.options());
  for (const std::optional<at::Tensor>& t : {Gate(q), Gate(k), Gate(v), gate, o.mask})
    if (t && follows_gradients(*t)) return masked_attention_by_aten(q, k, v, gate, o);
  if (fits_kernel(q, k, v, gate, o)) return run_fused(best_kernel(), q, k, v, gate, o);
  if (!gate) return masked_attention_by_aten(q, k, v, gate, o);
  const at::Tensor gates = gate->expand({q.size(0), q.size(1)}).flatten();
  const at::Tensor open = gates.nonzero().squeeze(1);
  return open.numel() == gates.numel() ? masked_attention_by_aten(q, k, v, gate, o)
                                       : of_open_heads(q, k, v, gates, open, o);
}

at::Tensor masked_attention_with(const char* name, const at::Tensor& q, const at::Tensor& k,
                                 const at::Tensor& v, const std::optional<at::Tensor>& gate,
                                 const MaskedOptions& o) {
  check(q, k, v, gate);
  return run_fused(kernel_of(name), q, k, v, gate, o);
}

TORCH_LIBRARY_FRAGMENT(pollard, library) {
  library.def(
      "masked_attention(Tensor query, Tensor key, Tensor value, Tensor? gate, Tensor? attn_mask=None, bool "
      "is_causal=False, float? scale=None) -> Tensor",
      by_operator);
}

}  // namespace pollard::kernels
