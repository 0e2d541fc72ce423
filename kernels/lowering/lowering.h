// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "graph/program.h"
#include "kernels/executor.h"

namespace pollard::kernels {

class Lowering;

/// One kind of rewrite. Rules run in the order of the table, each once over the whole program.
struct LoweringRule {
  std::string_view name;            ///< what switches it off: "pack-linear"
  std::string_view what;            ///< one line for people
  std::size_t (*apply)(Lowering&);  ///< returns how many places it changed
  bool on_cuda = false;             ///< runs for CUDA devices too, not for CPUs alone
  bool single_only = false;         ///< its kernels know single precision alone
};

/// All rules, in the order they run.
std::span<const LoweringRule> lowering_rules();

struct LoweringOptions {
  std::set<std::string, std::less<>> without;  ///< names of rules that stay off
  /// Linear layers with fewer multiply-accumulates stay LibTorch's: what a call of oneDNN costs beside its arithmetic is
  /// then more than packing saves (measured: 768 x 768 at one row).
  std::int64_t fewest_macs = std::int64_t{1} << 21;
  /// Where it will run. Weights are given on a CPU all the same; who runs it moves them (convert).
  at::DeviceType device = at::kCPU;
  /// f32 or, on a CPU and for recurrent layers on a CUDA device, bf16: layers are packed in it, and the program is run with this
  /// compute_type. The program and weights given are in single precision, so that folding rounds once.
  at::ScalarType type = at::kFloat;
};

/// A program made for one purpose: fast inference in one type on one kind of device, with these very weights. On a CPU:
///
///     conv2d -> batch_norm -> relu                        one oneDNN call with folded, packed weights
///     linear -> mul, pow, add, tanh, ... (GELU)           one oneDNN call
///     transpose -> lstm, lstm, cat                        one call of pollard's own kernel
///
/// On a CUDA device constants and batch norms are folded, GELU recognised, and recurrent layers and maps of up to 96 units, the
/// mLSTM and focused linear attention run in pollard's kernels; other layers stay LibTorch's.
///
/// It computes what the original computes up to the rounding of sums in another order. Weights are copied, folded and
/// packed: what the original still needs stays shared, the rest is the lowered program's own. Sizes may change where
/// the original's may; weights may not.
struct Lowered {
  graph::Program program;
  Weights weights;
  struct Applied {
    std::string_view rule;
    std::size_t places;
  };
  std::vector<Applied> applied;  ///< rules that changed something
};

/// Lowers a program whose weights are single precision on a CPU; parts in other types, on other devices or with
/// in-place ops on shared memory stay as they are. Throws UserError E0203 for a name in `without` that no rule has.
Lowered lower(const graph::Program& program, const Weights& weights, const LoweringOptions& options = {});

/// Whether this CPU multiplies bf16 by itself (AVX-512 BF16 or AMX): without, bf16 is slower than single precision.
bool multiplies_bf16();

}  // namespace pollard::kernels
