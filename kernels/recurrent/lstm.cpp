// SPDX-License-Identifier: Apache-2.0
#include "kernels/recurrent/lstm.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>
#include <string_view>

#if defined(__x86_64__) && !defined(__clang__)
#include <immintrin.h>
#endif

// Vectors are passed between functions that are always inlined: there is no call whose ABI could change.
#pragma GCC diagnostic ignored "-Wpsabi"
#pragma GCC optimize("O3")

namespace pollard::kernels {
namespace {

/// Where the tokens of a scan lie: sequence r, step t is token (r / inner) steps inner + r % inner + t inner.
struct Scan {
  const float* in;
  float* out;
  std::int64_t steps, inner, out_width;
  std::int64_t token(std::int64_t sequence, std::int64_t step) const {
    return sequence / inner * steps * inner + sequence % inner + step * inner;
  }
};

/// A few sequences in one direction.
struct LstmTile {
  const Scan& scan;
  const float* weights;  ///< [panels, inputs + 1 + hidden, 4, lanes]
  std::int64_t first, sequences, steps, inputs, hidden, panels, out_offset;
  bool reverse;

  std::int64_t panel_size(std::int64_t panel) const { return (inputs + 1 + hidden) * panel; }
  /// Tokens are counted step by step: row = step * sequences + sequence.
  const float* const* input_rows;
  float* output(std::int64_t row) const {
    return scan.out + scan.token(first + row % sequences, row / sequences) * scan.out_width + out_offset;
  }
};

namespace portable {
constexpr int kLanes = 4, kRows = 2;
template <class V>
inline V reciprocal(V x) {
  return 1.0F / x;
}
#include "kernels/recurrent/lstm_tile.inc"
}  // namespace portable

#if defined(__x86_64__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC target("avx2,fma")
namespace avx2 {
constexpr int kLanes = 8, kRows = 3;
inline __m256 reciprocal(__m256 x) {
  __m256 r = _mm256_rcp_ps(x);
  r = r * (2.0F - x * r);  // from 12 to 23 bits
  return r * (2.0F - x * r);
}
#include "kernels/recurrent/lstm_tile.inc"
}  // namespace avx2
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx512f,avx512vl,avx512dq,fma,prefer-vector-width=512")
namespace avx512 {
constexpr int kLanes = 16, kRows = 6;
inline __m512 reciprocal(__m512 x) {
  const __m512 r = _mm512_maskz_rcp14_ps(static_cast<__mmask16>(0xFFFF), x);
  return r * (2.0F - x * r);
}
#include "kernels/recurrent/lstm_tile.inc"
}  // namespace avx512
#pragma GCC pop_options
#endif

constexpr std::int64_t kGroups = 3;

struct InstructionSet {
  const char* name;
  std::int64_t lanes, sequences;  ///< of a tile, at most
  void (*run)(const LstmTile&, float*);
};

/// Those the processor has, best first.
const std::vector<InstructionSet>& instruction_sets() {
  static const auto kSets = [] {
    std::vector<InstructionSet> sets;
#if defined(__x86_64__) && !defined(__clang__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq"))
      sets.push_back({"avx512", avx512::kLanes, kGroups * avx512::kRows, avx512::run_tile});
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
      sets.push_back({"avx2", avx2::kLanes, kGroups * avx2::kRows, avx2::run_tile});
#endif
    sets.push_back({"portable", portable::kLanes, kGroups * portable::kRows, portable::run_tile});
    return sets;
  }();
  return kSets;
}

/// Memory of a thread that later calls find again: fresh pages would cost more than the arithmetic.
float* scratch(std::int64_t floats) {
  thread_local std::vector<float> memory;
  if (memory.size() < static_cast<std::size_t>(floats)) memory.resize(static_cast<std::size_t>(floats));
  return memory.data();
}

/// Where the inputs of a tile's tokens lie: found once, not for every panel of weights.
const std::vector<const float*>& find_inputs(const LstmTile& tile) {
  thread_local std::vector<const float*> rows;
  rows.clear();
  for (std::int64_t step = 0; step < tile.steps; ++step)
    for (std::int64_t s = 0; s < tile.sequences; ++s)
      rows.push_back(tile.scan.in + tile.scan.token(tile.first + s, step) * tile.inputs);
  return rows;
}

/// One layer over all its sequences, cut into tiles, and where its results go.
struct LayerRun {
  Scan scan;
  const at::Tensor& weight;
  std::int64_t sequences, inputs, hidden, out_offset;
  std::int64_t tiles;  ///< of each direction

  std::int64_t directions() const { return weight.size(0); }
  std::int64_t items() const { return directions() * tiles; }
};

/// As few tiles as can be, but enough for all threads. Asked once for a layer and outside of its threads, where the
/// number of threads is another.
std::int64_t tiles_of(const InstructionSet& set, std::int64_t sequences, std::int64_t directions) {
  const auto of = [&](std::int64_t most) { return (sequences + most - 1) / most; };
  const std::int64_t wanted = (at::get_num_threads() + directions - 1) / directions;
  return std::max(of(set.sequences), std::min(of(set.sequences / kGroups), wanted));
}

void run_tile(const LayerRun& layer, const InstructionSet& set, std::int64_t item) {
  const std::int64_t tiles = layer.tiles, direction = item / tiles, k = item % tiles;
  const std::int64_t first = k * layer.sequences / tiles, last = (k + 1) * layer.sequences / tiles;
  LstmTile tile{.scan = layer.scan,
                .weights = layer.weight.const_data_ptr<float>() + direction * layer.weight.stride(0),
                .first = first,
                .sequences = last - first,
                .steps = layer.scan.steps,
                .inputs = layer.inputs,
                .hidden = layer.hidden,
                .panels = layer.weight.size(1),
                .out_offset = layer.out_offset + direction * layer.hidden,
                .reverse = direction == 1,
                .input_rows = nullptr};
  tile.input_rows = find_inputs(tile).data();
  const std::int64_t padded = tile.panels * set.lanes;
  set.run(tile, scratch(tile.sequences * padded * (4 * tile.steps + 3)));
}

void run_layers(const std::vector<LayerRun>& layers, const InstructionSet& set) {
  std::int64_t items = 0;
  for (const LayerRun& layer : layers) items += layer.items();
  at::parallel_for(0, items, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t item = begin; item < end; ++item) {
      std::int64_t local = item;
      for (const LayerRun& layer : layers) {
        if (local < layer.items()) {
          run_tile(layer, set, local);
          break;
        }
        local -= layer.items();
      }
    }
  });
}

void check_layer(const at::Tensor& input, const at::Tensor& weight, std::int64_t hidden, std::int64_t lanes) {
  TORCH_CHECK_VALUE(input.is_cpu() && input.scalar_type() == at::kFloat && weight.scalar_type() == at::kFloat,
                    "lstm: single precision on a CPU");
  TORCH_CHECK_VALUE(weight.dim() == 5 && weight.is_contiguous() && weight.size(0) <= 2 &&
                        weight.size(3) == 4 && weight.size(4) == lanes &&
                        weight.size(2) == input.size(-1) + 1 + hidden && hidden > 0 &&
                        weight.size(1) == (hidden + lanes - 1) / lanes,
                    "lstm: the weight is not packed for this input and processor");
}

LayerRun layer_run(const InstructionSet& set, const at::Tensor& input, const at::Tensor& weight,
                   std::int64_t hidden, std::int64_t dim, const at::Tensor& output, std::int64_t out_offset) {
  std::int64_t inner = 1;
  for (std::int64_t d = dim + 1; d + 1 < input.dim(); ++d) inner *= input.size(d);
  const std::int64_t inputs = input.size(-1), steps = input.size(dim),
                     tokens = output.numel() / output.size(-1),
                     sequences = tokens / std::max<std::int64_t>(1, steps);
  return {.scan = {input.const_data_ptr<float>(), output.mutable_data_ptr<float>(), steps, inner,
                   output.size(-1)},
          .weight = weight,
          .sequences = sequences,
          .inputs = inputs,
          .hidden = hidden,
          .out_offset = out_offset,
          .tiles = tiles_of(set, sequences, weight.size(0))};
}

at::Tensor output_for(const at::Tensor& input, std::int64_t width) {
  std::vector<std::int64_t> shape = input.sizes().vec();
  shape.back() = width;
  return at::empty(shape, input.options());
}

at::Tensor run_lstm(const InstructionSet& set, const at::Tensor& given, const at::Tensor& weight,
                    std::int64_t hidden, std::int64_t dim) {
  check_layer(given, weight, hidden, set.lanes);
  TORCH_CHECK_VALUE(dim >= 0 && dim + 1 < given.dim(), "lstm: no dimension ", dim, " to read along");
  const at::Tensor input = given.contiguous();
  at::Tensor output = output_for(input, weight.size(0) * hidden);
  if (output.numel() > 0) run_layers({layer_run(set, input, weight, hidden, dim, output, 0)}, set);
  return output;
}

at::Tensor packed_lstm(const at::Tensor& input, const at::Tensor& weight, std::int64_t hidden,
                       std::int64_t dim) {
  return run_lstm(instruction_sets().front(), input, weight, hidden, dim);
}

at::Tensor packed_lstm_map(const at::Tensor& given, const at::Tensor& columns, const at::Tensor& rows,
                           std::int64_t hidden_columns, std::int64_t hidden_rows) {
  const InstructionSet& set = instruction_sets().front();
  TORCH_CHECK_VALUE(given.dim() == 4, "lstm: a map has 4 dimensions");
  check_layer(given, columns, hidden_columns, set.lanes);
  check_layer(given, rows, hidden_rows, set.lanes);
  const at::Tensor input = given.contiguous();
  const std::int64_t first = columns.size(0) * hidden_columns;
  at::Tensor output = output_for(input, first + rows.size(0) * hidden_rows);
  if (output.numel() > 0)
    run_layers({layer_run(set, input, columns, hidden_columns, 1, output, 0),
                layer_run(set, input, rows, hidden_rows, 2, output, first)},
               set);
  return output;
}

at::Tensor packed_lstm_form(const at::Tensor& input, const at::Tensor& weight, std::int64_t hidden,
                            std::int64_t) {
  return output_for(input, weight.size(0) * hidden);
}

at::Tensor packed_lstm_map_form(const at::Tensor& input, const at::Tensor& columns, const at::Tensor& rows,
                                std::int64_t hidden_columns, std::int64_t hidden_rows) {
  return output_for(input, columns.size(0) * hidden_columns + rows.size(0) * hidden_rows);
}

/// [4 H, n] to [panels, n, 4, lanes].
at::Tensor panels_of(const at::Tensor& matrix, std::int64_t hidden, std::int64_t lanes) {
  const std::int64_t panels = (hidden + lanes - 1) / lanes, n = matrix.size(1);
  const at::Tensor gates =
      at::constant_pad_nd(matrix.view({4, hidden, n}), {0, 0, 0, panels * lanes - hidden});
  return gates.view({4, panels, lanes, n}).permute({1, 3, 0, 2});
}

at::Tensor pack(std::span<const LstmDirection> directions, std::int64_t lanes) {
  std::vector<at::Tensor> packed;
  for (const LstmDirection& d : directions) {
    const std::int64_t hidden = d.weight_hh.size(1);
    at::Tensor bias = at::zeros({4 * hidden}, d.weight_ih.options());
    for (const at::Tensor& b : {d.bias_ih, d.bias_hh})
      if (b.defined()) bias = bias.add(b);
    const auto part = [&](const at::Tensor& m) { return panels_of(m.contiguous(), hidden, lanes); };
    packed.push_back(at::cat({part(d.weight_ih), part(bias.unsqueeze(1)), part(d.weight_hh)}, 1));
  }
  return at::stack(packed).contiguous();
}

}  // namespace

at::Tensor pack_lstm(std::span<const LstmDirection> directions) {
  return pack(directions, instruction_sets().front().lanes);
}

const char* lstm_instruction_set() { return instruction_sets().front().name; }

std::vector<const char*> lstm_instruction_sets() {
  std::vector<const char*> names;
  for (const InstructionSet& set : instruction_sets()) names.push_back(set.name);
  return names;
}

at::Tensor lstm_with(const char* name, const at::Tensor& input, std::span<const LstmDirection> directions,
                     std::int64_t dim) {
  const auto& sets = instruction_sets();
  const auto set =
      std::ranges::find_if(sets, [&](const auto& s) { return std::string_view(s.name) == name; });
  TORCH_CHECK_VALUE(set != sets.end(), "lstm: this processor has no ", name);
  return run_lstm(*set, input, pack(directions, set->lanes), directions.front().weight_hh.size(1), dim);
}

TORCH_LIBRARY_FRAGMENT(pollard, library) {
  const auto cpu = c10::DispatchKey::CPU;
  library.def("packed_lstm(Tensor input, Tensor weight, int hidden, int dim) -> Tensor",
              torch::dispatch(cpu, TORCH_FN(packed_lstm)));
  library.def(
      "packed_lstm_map(Tensor input, Tensor columns, Tensor rows, int hidden_columns, int hidden_rows) -> "
      "Tensor",
      torch::dispatch(cpu, TORCH_FN(packed_lstm_map)));
}

TORCH_LIBRARY_IMPL(pollard, Meta, library) {
  library.impl("packed_lstm", TORCH_FN(packed_lstm_form));
  library.impl("packed_lstm_map", TORCH_FN(packed_lstm_map_form));
}

}  // namespace pollard::kernels
