// SPDX-License-Identifier: Apache-2.0
#include "kernels/recurrent/layer.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>
#include <array>

#include "kernels/cuda/recurrence.h"
#include "kernels/cuda/recurrence_bf16.h"
#include "kernels/cuda_operators.h"

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
struct LayerTile {
  const Scan& scan;
  const float* weights;  ///< [panels, inputs + biases + hidden, gates, lanes]
  std::int64_t first, sequences, steps, inputs, hidden, panels, out_offset;
  bool reverse;

  /// Tokens are counted step by step: row = step * sequences + sequence.
  const float* const* input_rows;
  float* output(std::int64_t row) const {
    return scan.out + scan.token(first + row % sequences, row / sequences) * scan.out_width + out_offset;
  }
};

constexpr std::int64_t kGroups = 3;

struct Kernel {
  struct OfCell {
    std::int64_t sequences;  ///< of a tile, at most
    void (*run)(const LayerTile&, float*);
  };
  std::int64_t lanes;
  std::array<OfCell, 2> cells;
  const OfCell& operator[](Cell cell) const { return cells[static_cast<std::size_t>(cell)]; }
};

}  // namespace
}  // namespace pollard::kernels

#define POLLARD_TILE "kernels/recurrent/layer_tile.inc"
#include "kernels/instruction_sets.inc"

namespace pollard::kernels {
namespace {

std::int64_t gates_of(Cell cell) { return cell == Cell::Lstm ? 4 : 3; }
std::int64_t biases_of(Cell cell) { return cell == Cell::Lstm ? 1 : 2; }

/// Where the inputs of a tile's tokens lie: found once, not for every panel of weights.
const std::vector<const float*>& find_inputs(const LayerTile& tile) {
  thread_local std::vector<const float*> rows;
  rows.clear();
  for (std::int64_t step = 0; step < tile.steps; ++step)
    for (std::int64_t s = 0; s < tile.sequences; ++s)
      rows.push_back(tile.scan.in + tile.scan.token(tile.first + s, step) * tile.inputs);
  return rows;
}

/// One layer over all its sequences, cut into tiles, and where its results go.
struct LayerRun {
  Cell cell;
  Scan scan;
  const at::Tensor& weight;
  std::int64_t sequences, inputs, hidden, out_offset;
  std::int64_t tiles;  ///< of each direction

  std::int64_t directions() const { return weight.size(0); }
  std::int64_t items() const { return directions() * tiles; }
};

/// As few tiles as can be, but enough for all threads. Asked once for a layer and outside of its threads, where the
/// number of threads is another.
std::int64_t tiles_of(std::int64_t largest, std::int64_t sequences, std::int64_t directions) {
  const auto of = [&](std::int64_t most) { return (sequences + most - 1) / most; };
  const std::int64_t wanted = (at::get_num_threads() + directions - 1) / directions;
  return std::max(of(largest), std::min(of(largest / kGroups), wanted));
}

void run_tile(const LayerRun& layer, const Kernel& kernel, std::int64_t item) {
  const std::int64_t tiles = layer.tiles, direction = item / tiles, k = item % tiles;
  const std::int64_t first = k * layer.sequences / tiles, last = (k + 1) * layer.sequences / tiles;
  LayerTile tile{.scan = layer.scan,
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
  const std::int64_t padded = tile.panels * kernel.lanes;
  kernel[layer.cell].run(tile, scratch(tile.sequences * padded * (gates_of(layer.cell) * tile.steps + 3)));
}

void run_layers(const std::vector<LayerRun>& layers, const Kernel& kernel) {
  std::int64_t items = 0;
  for (const LayerRun& layer : layers) items += layer.items();
  at::parallel_for(0, items, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t item = begin; item < end; ++item) {
      std::int64_t local = item;
      for (const LayerRun& layer : layers) {
        if (local < layer.items()) {
          run_tile(layer, kernel, local);
          break;
        }
        local -= layer.items();
      }
    }
  });
}

/// What a packed layer is and what it reads.
struct PackedLayer {
  Cell cell;
  const at::Tensor& weight;
  std::int64_t hidden;
  std::int64_t width() const { return weight.size(0) * hidden; }
};

void check_device(const at::Tensor& input, const at::Tensor& weight, at::DeviceType device) {
  const at::ScalarType type = input.scalar_type();
  TORCH_CHECK_VALUE(input.device().type() == device && weight.device() == input.device() &&
                        weight.scalar_type() == type &&
                        (type == at::kFloat || (type == at::kBFloat16 && device == at::kCUDA)),
                    "a packed recurrent layer: single precision on one device, or bf16 on a CUDA device");
}

void check_layer(const at::Tensor& input, const PackedLayer& layer, std::int64_t lanes) {
  const at::Tensor& weight = layer.weight;
  check_device(input, weight, at::kCPU);
  TORCH_CHECK_VALUE(weight.dim() == 5 && weight.is_contiguous() && weight.size(0) <= 2 &&
                        weight.size(3) == gates_of(layer.cell) && weight.size(4) == lanes &&
                        weight.size(2) == input.size(-1) + biases_of(layer.cell) + layer.hidden &&
                        layer.hidden > 0 && weight.size(1) == (layer.hidden + lanes - 1) / lanes,
                    "a packed recurrent layer: the weight is not packed for this input and processor");
}

LayerRun layer_run(const Kernel& kernel, const at::Tensor& input, const PackedLayer& layer, std::int64_t dim,
                   const at::Tensor& output, std::int64_t out_offset) {
  std::int64_t inner = 1;
  for (std::int64_t d = dim + 1; d + 1 < input.dim(); ++d) inner *= input.size(d);
  const std::int64_t inputs = input.size(-1), steps = input.size(dim),
                     tokens = output.numel() / output.size(-1),
                     sequences = tokens / std::max<std::int64_t>(1, steps);
  return {.cell = layer.cell,
          .scan = {input.const_data_ptr<float>(), output.mutable_data_ptr<float>(), steps, inner,
                   output.size(-1)},
          .weight = layer.weight,
          .sequences = sequences,
          .inputs = inputs,
          .hidden = layer.hidden,
          .out_offset = out_offset,
          .tiles = tiles_of(kernel[layer.cell].sequences, sequences, layer.weight.size(0))};
}

at::Tensor output_for(const at::Tensor& input, std::int64_t width) {
  std::vector<std::int64_t> shape = input.sizes().vec();
  shape.back() = width;
  return at::empty(shape, input.options());
}

at::Tensor run_layer(const Kernel& kernel, const at::Tensor& given, const PackedLayer& layer,
                     std::int64_t dim) {
  check_layer(given, layer, kernel.lanes);
  TORCH_CHECK_VALUE(dim >= 0 && dim + 1 < given.dim(), "no dimension ", dim, " to read along");
  const at::Tensor input = given.contiguous();
  at::Tensor output = output_for(input, layer.width());
  if (output.numel() > 0) run_layers({layer_run(kernel, input, layer, dim, output, 0)}, kernel);
  return output;
}

template <Cell cell>
at::Tensor packed(const at::Tensor& input, const at::Tensor& weight, std::int64_t hidden, std::int64_t dim) {
  return run_layer(best_kernel(), input, {cell, weight, hidden}, dim);
}

template <Cell cell>
at::Tensor packed_map(const at::Tensor& given, const at::Tensor& column_weight, const at::Tensor& row_weight,
                      std::int64_t hidden_columns, std::int64_t hidden_rows) {
  const Kernel& kernel = best_kernel();
  const PackedLayer columns{cell, column_weight, hidden_columns}, rows{cell, row_weight, hidden_rows};
  TORCH_CHECK_VALUE(given.dim() == 4, "a map has 4 dimensions");
  check_layer(given, columns, kernel.lanes);
  check_layer(given, rows, kernel.lanes);
  const at::Tensor input = given.contiguous();
  at::Tensor output = output_for(input, columns.width() + rows.width());
  if (output.numel() > 0)
    run_layers({layer_run(kernel, input, columns, 1, output, 0),
                layer_run(kernel, input, rows, 2, output, columns.width())},
               kernel);
  return output;
}

void check_device_layer(const at::Tensor& input, const PackedLayer& layer) {
  check_device(input, layer.weight, at::kCUDA);
  const at::ScalarType type = input.scalar_type();
  const at::Tensor& weight = layer.weight;
  const std::int64_t most = type == at::kFloat ? cuda::kMostUnits : cuda::kMostBf16Units;
  TORCH_CHECK_VALUE(
      weight.dim() == (type == at::kFloat ? 2 : 3) && weight.is_contiguous() && weight.size(0) <= 2 &&
          layer.hidden > 0 && layer.hidden <= most && input.dim() > 1 &&
          weight.numel() == weight.size(0) * DeviceLayer(layer.cell, input.size(-1), layer.hidden, type).size,
      "a packed recurrent layer: the weight is not packed for this input and CUDA devices");
}

template <Cell cell>
at::Tensor packed_on_cuda(const at::Tensor& given, const at::Tensor& weight, std::int64_t hidden,
                          std::int64_t dim) {
  check_device_layer(given, {cell, weight, hidden});
  TORCH_CHECK_VALUE(dim >= 0 && dim + 1 < given.dim(), "no dimension ", dim, " to read along");
  const at::Tensor input = given.contiguous(), output = output_for(input, weight.size(0) * hidden);
  cuda::recurrent_layer(cell, input, weight, hidden, dim, output, 0);
  return output;
}

template <Cell cell>
at::Tensor packed_map_on_cuda(const at::Tensor& given, const at::Tensor& columns, const at::Tensor& rows,
                              std::int64_t hidden_columns, std::int64_t hidden_rows) {
  TORCH_CHECK_VALUE(given.dim() == 4, "a map has 4 dimensions");
  check_device_layer(given, {cell, columns, hidden_columns});
  check_device_layer(given, {cell, rows, hidden_rows});
  const std::int64_t first = columns.size(0) * hidden_columns;
  const at::Tensor input = given.contiguous(), output = output_for(input, first + rows.size(0) * hidden_rows);
  cuda::recurrent_layer(cell, input, columns, hidden_columns, 1, output, 0);
  cuda::recurrent_layer(cell, input, rows, hidden_rows, 2, output, first);
  return output;
}

at::Tensor packed_form(const at::Tensor& input, const at::Tensor& weight, std::int64_t hidden, std::int64_t) {
  return output_for(input, weight.size(0) * hidden);
}

at::Tensor packed_map_form(const at::Tensor& input, const at::Tensor& columns, const at::Tensor& rows,
                           std::int64_t hidden_columns, std::int64_t hidden_rows) {
  return output_for(input, columns.size(0) * hidden_columns + rows.size(0) * hidden_rows);
}

/// [gates H, n] to [panels, n, gates, lanes].
at::Tensor panels_of(const at::Tensor& matrix, std::int64_t gates, std::int64_t lanes) {
  const std::int64_t hidden = matrix.size(0) / gates, panels = (hidden + lanes - 1) / lanes,
                     n = matrix.size(1);
  const at::Tensor padded =
      at::constant_pad_nd(matrix.view({gates, hidden, n}), {0, 0, 0, panels * lanes - hidden});
  return padded.view({gates, panels, lanes, n}).permute({1, 3, 0, 2});
}

/// [gates H, rows of biases].
at::Tensor biases_of(Cell cell, const Direction& d) {
  const at::Tensor none = at::zeros({d.weight_hh.size(0)}, d.weight_hh.options());
  const at::Tensor of_input = d.bias_ih.defined() ? d.bias_ih : none,
                   of_state = d.bias_hh.defined() ? d.bias_hh : none;
  if (cell == Cell::Lstm) return of_input.add(of_state).unsqueeze(1);
  const std::int64_t gated = 2 * d.weight_hh.size(1);  // r and z: sums of both
  at::Tensor first = of_input.clone(), second = of_state.clone();
  first.slice(0, 0, gated).add_(of_state.slice(0, 0, gated));
  second.slice(0, 0, gated).zero_();
  return at::stack({first, second}, 1);
}

at::Tensor pack(Cell cell, std::span<const Direction> directions, std::int64_t lanes) {
  std::vector<at::Tensor> packed;
  for (const Direction& d : directions) {
    const auto part = [&](const at::Tensor& m) { return panels_of(m.contiguous(), gates_of(cell), lanes); };
    packed.push_back(at::cat({part(d.weight_ih), part(biases_of(cell, d)), part(d.weight_hh)}, 1));
  }
  return at::stack(packed).contiguous();
}

/// weight_hh, weight_ih and biases as the kernel in single precision reads them.
std::vector<at::Tensor> single_parts(const Direction& d, const at::Tensor& biases, std::int64_t gates) {
  const std::int64_t hidden = d.weight_hh.size(1), rows = cuda::recurrence_rows(hidden);
  const at::Tensor recurrent = at::constant_pad_nd(d.weight_hh, {0, rows - hidden})
                                   .view({gates, hidden, rows / 4, 4})
                                   .permute({2, 0, 1, 3});
  return {recurrent.flatten(), d.weight_ih.t().flatten(), biases.select(1, 0)};
}

/// The same for the kernel in bf16: units in eights, gate by gate.
std::vector<at::Tensor> bf16_parts(const Direction& d, const at::Tensor& biases, std::int64_t gates) {
  const std::int64_t hidden = d.weight_hh.size(1), units = cuda::bf16_units(hidden);
  const auto octets = [&](const at::Tensor& t) {  // [gates H, n] to [n, units / 8, gates, 8]
    return at::constant_pad_nd(t.view({gates, hidden, -1}), {0, 0, 0, units - hidden})
        .view({gates, units / 8, 8, -1})
        .permute({3, 1, 0, 2});
  };
  const at::Tensor recurrent = at::constant_pad_nd(octets(d.weight_hh), {0, 0, 0, 0, 0, 0, 0, units - hidden})
                                   .view({units / 16, 2, 4, 2, units / 8, gates, 8})
                                   .permute({4, 0, 5, 6, 2, 1, 3});
  return {recurrent.flatten(), octets(d.weight_ih).flatten(), octets(biases.slice(1, 0, 1)).flatten()};
}

at::Tensor pack_for_devices(Cell cell, std::span<const Direction> directions) {
  std::vector<at::Tensor> packed;
  for (const Direction& d : directions) {
    const bool bf16 = d.weight_hh.scalar_type() == at::kBFloat16;
    const DeviceLayer layer(cell, d.weight_ih.size(1), d.weight_hh.size(1), d.weight_hh.scalar_type());
    const at::Tensor biases = biases_of(cell, d);
    std::vector<at::Tensor> parts =
        bf16 ? bf16_parts(d, biases, layer.gates) : single_parts(d, biases, layer.gates);
    if (cell == Cell::Gru) parts.push_back(biases.select(1, 1).slice(0, 2 * d.weight_hh.size(1)));
    const at::Tensor all = at::cat(parts);
    packed.push_back(at::constant_pad_nd(all, {0, layer.size - all.numel()}));
    if (bf16) packed.back() = packed.back().view({-1, 16});
  }
  return at::stack(packed);
}

}  // namespace

DeviceLayer::DeviceLayer(Cell cell, std::int64_t inputs, std::int64_t hidden, at::ScalarType type)
    : gates(gates_of(cell)),
      units(type == at::kBFloat16 ? cuda::bf16_units(hidden) : hidden),
      weight_ih((type == at::kBFloat16 ? units : cuda::recurrence_rows(hidden)) * gates * units),
      biases(weight_ih + inputs * gates * units),
      bias_hn(biases + gates * units),
      size((bias_hn + (cell == Cell::Gru ? units : 0) + 3) / 4 * 4) {}

at::Tensor pack_layer(Cell cell, std::span<const Direction> directions, at::DeviceType device) {
  return device == at::kCUDA ? pack_for_devices(cell, directions)
                             : pack(cell, directions, best_kernel().lanes);
}

const char* layer_instruction_set() { return instruction_sets().front().name; }

std::vector<const char*> layer_instruction_sets() {
  std::vector<const char*> names;
  for (const InstructionSet& set : instruction_sets()) names.push_back(set.name);
  return names;
}

at::Tensor layer_with(const char* name, Cell cell, const at::Tensor& input,
                      std::span<const Direction> directions, std::int64_t dim) {
  const Kernel& kernel = kernel_of(name);
  const at::Tensor weight = pack(cell, directions, kernel.lanes);
  return run_layer(kernel, input, {cell, weight, directions.front().weight_hh.size(1)}, dim);
}

TORCH_LIBRARY_FRAGMENT(pollard, library) {
  const auto cpu = c10::DispatchKey::CPU;
  library.def("packed_lstm(Tensor input, Tensor weight, int hidden, int dim) -> Tensor",
              torch::dispatch(cpu, TORCH_FN(packed<Cell::Lstm>)));
  library.def("packed_gru(Tensor input, Tensor weight, int hidden, int dim) -> Tensor",
              torch::dispatch(cpu, TORCH_FN(packed<Cell::Gru>)));
  library.def(
      "packed_lstm_map(Tensor input, Tensor columns, Tensor rows, int hidden_columns, int hidden_rows) -> "
      "Tensor",
      torch::dispatch(cpu, TORCH_FN(packed_map<Cell::Lstm>)));
  library.def(
      "packed_gru_map(Tensor input, Tensor columns, Tensor rows, int hidden_columns, int hidden_rows) -> "
      "Tensor",
      torch::dispatch(cpu, TORCH_FN(packed_map<Cell::Gru>)));
}

TORCH_LIBRARY_IMPL(pollard, CUDA, library) {
  library.impl("packed_lstm", TORCH_FN(packed_on_cuda<Cell::Lstm>));
  library.impl("packed_gru", TORCH_FN(packed_on_cuda<Cell::Gru>));
  library.impl("packed_lstm_map", TORCH_FN(packed_map_on_cuda<Cell::Lstm>));
  library.impl("packed_gru_map", TORCH_FN(packed_map_on_cuda<Cell::Gru>));
}

TORCH_LIBRARY_IMPL(pollard, Meta, library) {
  for (const char* name : {"packed_lstm", "packed_gru"}) library.impl(name, TORCH_FN(packed_form));
  for (const char* name : {"packed_lstm_map", "packed_gru_map"})
    library.impl(name, TORCH_FN(packed_map_form));
}

}  // namespace pollard::kernels
