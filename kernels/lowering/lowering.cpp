// SPDX-License-Identifier: Apache-2.0
#include "kernels/lowering/lowering.h"

#include <algorithm>
#include <array>

#include "graph/error.h"
#include "kernels/lowering/attention.h"
#include "kernels/lowering/mlstm_cell.h"
#include "kernels/lowering/monarch.h"
#include "kernels/lowering/state.h"

namespace pollard::kernels {
namespace {

void check_names(const LoweringOptions& options) {
  for (const std::string& name : options.without)
    if (std::ranges::find(lowering_rules(), name, &LoweringRule::name) == lowering_rules().end())
      throw UserError({.code = "E0203",
                       .exit = Exit::Usage,
                       .subject = "lowering",
                       .message = "there is no rule \"" + name + "\""});
}

/// Rules that may run where ops write to shared memory.
bool works_on_memory(const LoweringRule& rule) {
  return rule.apply == make_functional || rule.apply == fold_filled_memory ||
         rule.apply == write_out_operators;
}

/// Rules whose kernels know bf16 on CUDA devices alone.
bool knows_bf16_on_cuda(const LoweringRule& rule) {
  return rule.apply == pack_lstms || rule.apply == pack_grus || rule.apply == scan_maps;
}

bool applies(const LoweringRule& rule, const LoweringOptions& options) {
  const bool on_cuda = options.device == at::kCUDA, here = !on_cuda || rule.on_cuda,
             in_type = options.type == at::kFloat || !rule.single_only ||
                       (on_cuda && options.type == at::kBFloat16 && knows_bf16_on_cuda(rule));
  return here && in_type && !options.without.contains(rule.name);
}

}  // namespace

bool multiplies_bf16() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512bf16") != 0;
#else
  return false;
#endif
}

std::span<const LoweringRule> lowering_rules() {
  static constexpr auto kRules = std::to_array<LoweringRule>({
      {"operators", "pollard's own operators are written out, so that other rules see what they are made of",
       write_out_operators, true},
      {"filled-memory", "what is written into fresh memory without looking at an input is computed once",
       fold_filled_memory, true},
      {"functional", "in-place ops become ordinary ones where nothing else sees the memory", make_functional,
       true},
      {"identities", "dropout, conversions to the same type and other ops that change nothing go",
       drop_identities, true},
      {"constants", "what depends on weights and numbers alone is computed once", fold_constants, true},
      {"batch-norms", "batch norms move into the weights of the layer before", fold_batch_norms, true},
      {"fuse-cascaded-attention",
       "the heads of a cascaded group attention run in one kernel, window by window", fuse_cascaded_attention,
       true, true},
      {"gelu", "GELU written out in elementary ops becomes one op", recognise_gelu, true},
      {"fuse-mlstms", "the mLSTM's parallel form, and its chunks, run in one kernel that stores no scores",
       fuse_mlstms, true},
      {"fuse-causal-convolutions", "convolutions along tokens read them where they lie, SiLU included",
       fuse_causal_convolutions, false, true},
      {"fuse-mlstm-cells", "projections, gates and the norm around an mLSTM run in one pass each, beside it",
       fuse_mlstm_cells, false, true},
      {"read-backwards", "layers that visit their tokens from the last to the first do so where they lie",
       read_backwards, false, true},
      {"pack-convolutions", "convolutions run in oneDNN on weights packed once", pack_convolutions},
      {"pack-linears", "linear layers run in oneDNN on weights packed once", pack_linears},
      {"pack-monarchs", "products with Monarch matrices run in one kernel on factors packed once",
       pack_monarchs, true, true},
      {"pack-lstms", "LSTM layers run in pollard's own kernel on weights packed once", pack_lstms, true,
       true},
      {"pack-grus", "GRU layers run in pollard's own kernel on weights packed once", pack_grus, true, true},
      {"scan-maps", "two recurrent layers along a map's columns and rows read it where it lies", scan_maps,
       true, true},
      {"fuse-attention",
       "scaled dot-product attention runs in one kernel that reads every head where it lies", fuse_attention,
       false, true},
      {"fuse-focused-attention", "focused linear attention runs in one kernel, focusing map included",
       fuse_focused_attention, true, true},
      {"fuse-activations", "activations are computed where the layer before writes its result",
       fuse_activations},
      {"fuse-sums", "residual sums are computed where the layer before writes its result", fuse_sums},
      {"pool-by-channels", "max pools read a vector of channels at a time, where these lie innermost",
       pool_by_channels},
      {"channels-last", "maps of convolutions keep their channels innermost", lay_out_channels_last},
      {"multiply-places", "1 x 1 convolutions of large maps run in a kernel that fetches memory ahead",
       multiply_places, false, true},
      {"reuse-memory", "residual sums are written over the operand nobody reads again", reuse_memory},
  });
  return kRules;
}

Lowered lower(const graph::Program& program, const Weights& weights, const LoweringOptions& options) {
  check_names(options);
  Lowering l(program, weights, options);
  Lowered out;
  for (const LoweringRule& rule : lowering_rules()) {
    // Where ops write to shared memory, the moment a value is read matters: nothing may move.
    if (!works_on_memory(rule) && std::ranges::any_of(l.program.ops, graph::writes)) break;
    if (!applies(rule, options)) continue;
    const std::size_t places = rule.apply(l);
    l.settle();
    if (places > 0) out.applied.push_back({rule.name, places});
  }
  l.drop_unread();
  graph::check(l.program);
  out.program = std::move(l.program);
  out.weights = std::move(l.weights);
  return out;
}

}  // namespace pollard::kernels
