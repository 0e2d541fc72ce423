// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention/masked_attention.h"

#include <ATen/ATen.h>
#include <torch/library.h>

#include "kernels/gradients.h"

namespace pollard::kernels {
namespace {

void check(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& gate) {
  const bool heads = q.dim() == 4 && k.dim() == 4 && v.dim() == 4 &&
                     q.sizes().slice(0, 2) == k.sizes().slice(0, 2) &&
                     k.sizes().slice(0, 3) == v.sizes().slice(0, 3) && q.size(3) == k.size(3);
  TORCH_CHECK_VALUE(heads && (gate.sizes() == q.sizes().slice(1, 1) || gate.sizes() == q.sizes().slice(0, 2)),
                    "masked_attention: query [B, heads, L, E], key [B, heads, S, E], value [B, heads, S, D], "
                    "gate [heads] or [B, heads], got ",
                    q.sizes(), k.sizes(), v.sizes(), gate.sizes());
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

at::Tensor by_operator(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                       const at::Tensor& gate, const std::optional<at::Tensor>& mask, bool causal,
                       std::optional<double> scale) {
  return masked_attention(query, key, value, gate, {mask, causal, scale});
}

}  // namespace

at::Tensor masked_attention_by_aten(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                    const at::Tensor& gate, const MaskedOptions& o) {
  check(q, k, v, gate);
  return at::scaled_dot_product_attention(q, k, v, o.mask, 0.0, o.causal, o.scale)
      .mul(gate.unsqueeze(-1).unsqueeze(-1));
}

at::Tensor masked_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const at::Tensor& gate, const MaskedOptions& o) {
  check(q, k, v, gate);
  if (q.is_meta()) return at::empty({q.size(0), q.size(1), q.size(2), v.size(3)}, v.options());
  for (const at::Tensor& t : {q, k, v, gate})
    if (follows_gradients(t)) return masked_attention_by_aten(q, k, v, gate, o);
  const at::Tensor gates = gate.expand({q.size(0), q.size(1)}).flatten();
  const at::Tensor open = gates.nonzero().squeeze(1);
  return open.numel() == gates.numel() ? masked_attention_by_aten(q, k, v, gate, o)
                                       : of_open_heads(q, k, v, gates, open, o);
}

TORCH_LIBRARY_FRAGMENT(pollard, library) {
  library.def(
      "masked_attention(Tensor query, Tensor key, Tensor value, Tensor gate, Tensor? attn_mask=None, bool "
      "is_causal=False, float? scale=None) -> Tensor",
      by_operator);
}

}  // namespace pollard::kernels
