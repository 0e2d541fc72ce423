// SPDX-License-Identifier: Apache-2.0
#include "kernels/recurrent/layer.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <array>
#include <set>
#include <tuple>

#include "kernels/lowering/lowering.h"
#include "tests/kernels/support/program_builder.h"

namespace pollard::kernels {
namespace {

using graph::Arg;
using graph::ValueId;

constexpr std::array kCells{Cell::Lstm, Cell::Gru};

std::vector<Direction> random_layer(Cell cell, std::int64_t inputs, std::int64_t hidden,
                                    std::size_t directions, bool biases = true) {
  std::vector<Direction> out;
  const double scale = 1 / std::sqrt(static_cast<double>(hidden));
  const std::int64_t rows = (cell == Cell::Lstm ? 4 : 3) * hidden;
  for (std::size_t d = 0; d < directions; ++d) {
    out.push_back({at::randn({rows, inputs}) * scale, at::randn({rows, hidden}) * scale, {}, {}});
    if (biases) out.back().bias_ih = at::randn({rows}), out.back().bias_hh = at::randn({rows});
  }
  return out;
}

at::Tensor reference(Cell cell, const at::Tensor& input, const std::vector<Direction>& layer,
                     bool batch_first) {
  std::vector<at::Tensor> weights;
  for (const Direction& d : layer)
    for (const at::Tensor& t : {d.weight_ih, d.weight_hh, d.bias_ih, d.bias_hh})
      if (t.defined()) weights.push_back(t.to(at::kDouble));
  const auto directions = static_cast<std::int64_t>(layer.size());
  const std::int64_t hidden = layer[0].weight_hh.size(1), batch = input.size(batch_first ? 0 : 1);
  const at::Tensor zeros = at::zeros({directions, batch, hidden}, at::kDouble);
  const bool biases = layer[0].bias_ih.defined();
  if (cell == Cell::Gru)
    return std::get<0>(
        at::gru(input.to(at::kDouble), zeros, weights, biases, 1, 0, false, directions == 2, batch_first));
  return std::get<0>(at::lstm(input.to(at::kDouble), {zeros, zeros}, weights, biases, 1, 0, false,
                              directions == 2, batch_first));
}

struct Shape {
  std::int64_t batch, steps, inputs, hidden;
};

/// Ragged sizes, as pruning leaves them: around every number of lanes, panels and sequences in a tile.
class LayerKernel : public ::testing::TestWithParam<Shape> {};

TEST_P(LayerKernel, ComputesWhatLibTorchComputesInDouble) {
  const auto [batch, steps, inputs, hidden] = GetParam();
  const at::Tensor x = at::randn({batch, steps, inputs});
  for (const Cell cell : kCells)
    for (const char* set : layer_instruction_sets())
      for (std::size_t directions : {1, 2})
        for (bool biases : {true, false}) {
          const auto layer = random_layer(cell, inputs, hidden, directions, biases);
          const at::Tensor got = layer_with(set, cell, x, layer, 1),
                           by_time = layer_with(set, cell, x.transpose(0, 1), layer, 0);
          const at::Tensor want = reference(cell, x, layer, true);
          EXPECT_LE(got.sub(want).abs().max().item<double>(), 2e-6) << set;
          EXPECT_TRUE(at::equal(by_time.transpose(0, 1), got)) << set;
        }
}

INSTANTIATE_TEST_SUITE_P(Ragged, LayerKernel,
                         ::testing::Values(Shape{1, 1, 1, 1}, Shape{7, 5, 3, 7}, Shape{13, 4, 33, 15},
                                           Shape{6, 9, 16, 16}, Shape{12, 3, 95, 17}, Shape{2, 33, 7, 33},
                                           Shape{5, 7, 48, 95}, Shape{32, 8, 24, 48}));

/// What one direction of a layer packed for CUDA devices gives its gates from inputs and from what units show: [B, T, gates U],
/// [gates U, U], b_hn [U], in double, where U are the units it is padded to.
struct Unpacked {
  std::int64_t gates;
  at::Tensor given, recurrent, bias_hn;

  Unpacked(Cell cell, const at::Tensor& packed, const at::Tensor& x, std::int64_t hidden) {
    const DeviceLayer parts(cell, x.size(-1), hidden, packed.scalar_type());
    const std::int64_t U = parts.units, width = parts.gates * U, rows = parts.weight_ih / width;
    const at::Tensor all = packed.flatten().to(at::kDouble);
    const auto part = [&](std::int64_t from, at::IntArrayRef sizes) {
      return all.slice(0, from, from + c10::multiply_integers(sizes)).view(sizes);
    };
    gates = parts.gates;
    given = at::matmul(x, part(parts.weight_ih, {x.size(-1), width})).add(part(parts.biases, {width}));
    bias_hn = cell == Cell::Gru ? part(parts.bias_hn, {U}) : at::zeros({U}, at::kDouble);
    if (packed.scalar_type() == at::kFloat) {
      recurrent = part(0, {rows / 4, gates, hidden, 4}).permute({1, 2, 0, 3}).reshape({width, rows});
      EXPECT_TRUE(recurrent.slice(1, hidden).eq(0).all().item<bool>());
      recurrent = recurrent.slice(1, 0, hidden);
    } else {
      recurrent =
          part(0, {U / 8, U / 16, gates, 8, 4, 2, 2}).permute({2, 0, 3, 1, 5, 4, 6}).reshape({width, U});
      given = given.view({x.size(0), x.size(1), U / 8, gates, 8}).transpose(2, 3).flatten(2);
    }
  }
};

/// Step by step in double: what cuda/recurrence.h and cuda/recurrence_bf16.h say the numbers are.
at::Tensor run_packed_direction(Cell cell, const at::Tensor& packed, const at::Tensor& x,
                                std::int64_t hidden) {
  const Unpacked layer(cell, packed, x, hidden);
  at::Tensor h = at::zeros({x.size(0), layer.recurrent.size(1)}, at::kDouble), c = h;
  std::vector<at::Tensor> out;
  for (std::int64_t t = 0; t < x.size(1); ++t) {
    const auto g = layer.given.select(1, t).chunk(layer.gates, 1),
               r = at::matmul(h, layer.recurrent.t()).chunk(layer.gates, 1);
    if (cell == Cell::Lstm) {
      c = (g[1] + r[1]).sigmoid() * c + (g[0] + r[0]).sigmoid() * (g[2] + r[2]).tanh();
      h = (g[3] + r[3]).sigmoid() * c.tanh();
    } else {
      const at::Tensor z = (g[1] + r[1]).sigmoid(),
                       n = (g[2] + (g[0] + r[0]).sigmoid() * (r[2] + layer.bias_hn)).tanh();
      h = (1 - z) * n + z * h;
    }
    EXPECT_TRUE(h.slice(1, hidden).eq(0).all().item<bool>()) << "a padded unit shows something";
    out.push_back(h.slice(1, 0, hidden));
  }
  return at::stack(out, 1);
}

/// The layer's weights rounded to bf16, its biases such that their sums need no rounding.
std::vector<Direction> in_bf16(std::vector<Direction> layer) {
  for (Direction& d : layer)
    for (at::Tensor* t : {&d.weight_ih, &d.weight_hh, &d.bias_ih, &d.bias_hh})
      if (t->defined()) *t = (t->dim() == 1 ? t->mul(8).round().clamp(-32, 32).div(8) : *t).to(at::kBFloat16);
  return layer;
}

TEST(LayerKernel, TheFormForCudaDevicesHoldsTheLayer) {
  for (const Cell cell : kCells)
    for (const bool biases : {true, false})
      for (const at::ScalarType type : {at::kFloat, at::kBFloat16})
        for (const std::int64_t hidden : {1, 7, 16, 33}) {
          std::vector<Direction> layer = random_layer(cell, 5, hidden, 2, biases);
          if (type == at::kBFloat16) layer = in_bf16(layer);
          const at::Tensor x = at::randn({3, 4, 5}, at::kDouble), packed = pack_layer(cell, layer, at::kCUDA);
          const std::int64_t size = DeviceLayer(cell, 5, hidden, type).size;
          ASSERT_EQ(packed.scalar_type(), type);
          ASSERT_EQ(packed.sizes(),
                    type == at::kFloat ? at::IntArrayRef({2, size}) : at::IntArrayRef({2, size / 16, 16}));
          EXPECT_EQ(size % 4, 0) << "directions begin where a quadruple may";
          const at::Tensor got = at::cat({run_packed_direction(cell, packed[0], x, hidden),
                                          run_packed_direction(cell, packed[1], x.flip(1), hidden).flip(1)},
                                         2);
          EXPECT_LE(got.sub(reference(cell, x, layer, true)).abs().max().item<double>(), 1e-6);
        }
}

/// A layer is cut into more tiles for more threads: 1 to 7 sequences, in one direction and in two.
TEST(LayerKernel, ComputesTheSameOnAnyNumberOfThreads) {
  const int before = at::get_num_threads();
  for (std::int64_t batch = 1; batch <= 7; ++batch)
    for (const auto& [cell, directions] : {std::pair{Cell::Lstm, 1U}, {Cell::Lstm, 2U}, {Cell::Gru, 2U}}) {
      const auto layer = random_layer(cell, 5, 9, directions);
      const at::Tensor x = at::randn({batch, 4, 5});
      for (const char* set : layer_instruction_sets()) {
        at::set_num_threads(1);
        const at::Tensor alone = layer_with(set, cell, x, layer, 1);
        for (int threads : {2, 3, 8}) {
          at::set_num_threads(threads);
          EXPECT_TRUE(at::equal(layer_with(set, cell, x, layer, 1), alone))
              << set << ' ' << threads << " threads";
        }
      }
    }
  at::set_num_threads(before);
}

TEST(LayerKernel, SaturatesWithoutOverflow) {
  const at::Tensor x = at::randn({3, 6, 4}) * 1e4;
  for (const Cell cell : kCells)
    for (const char* set : layer_instruction_sets()) {
      const auto layer = random_layer(cell, 4, 8, 1);
      const at::Tensor got = layer_with(set, cell, x, layer, 1);
      EXPECT_LE(got.sub(reference(cell, x, layer, true)).abs().max().item<double>(), 2e-6) << set;
    }
}

TEST(LayerKernel, TakesNoSequencesAndNoStridesForGranted) {
  const auto layer = random_layer(Cell::Lstm, 4, 8, 2);
  EXPECT_EQ(layer_with("portable", Cell::Lstm, at::zeros({0, 3, 4}), layer, 1).numel(), 0);
  const at::Tensor x = at::randn({4, 3, 2}).permute({2, 1, 0});  // [2, 3, 4], not contiguous
  EXPECT_TRUE(at::equal(layer_with("portable", Cell::Lstm, x, layer, 1),
                        layer_with("portable", Cell::Lstm, x.contiguous(), layer, 1)));
}

TEST(LayerKernel, RefusesWeightsOfAnotherLayer) {
  const auto layer = random_layer(Cell::Lstm, 4, 8, 2);
  EXPECT_ANY_THROW(layer_with("portable", Cell::Lstm, at::randn({2, 3, 5}), layer, 1));
  EXPECT_ANY_THROW(layer_with("portable", Cell::Gru, at::randn({2, 3, 4}), layer, 1));
  EXPECT_ANY_THROW(layer_with("no such set", Cell::Lstm, at::randn({2, 3, 4}), layer, 1));
}

/// BiLSTM2D or BiGRU2D as exporters write it: transposes, reshapes and two calls.
struct MapLayer {
  Cell cell;
  test::ProgramBuilder b;
  Weights weights;
};

ValueId layer_call(MapLayer& m, const std::string& name, ValueId x, std::vector<std::int64_t> shape,
                   std::int64_t hidden) {
  const ValueId zeros = m.b.tensor(name + ".zeros", {2, shape[0], hidden}),
                y = m.b.tensor(name, {shape[0], shape[1], 2 * hidden}),
                h = m.b.tensor(name + ".h", {2, shape[0], hidden});
  Arg::List params;
  const auto layer = random_layer(m.cell, shape[2], hidden, 2);
  int k = 0;
  for (const Direction& d : layer)
    for (const at::Tensor& t : {d.weight_ih, d.weight_hh, d.bias_ih, d.bias_hh}) {
      const std::string source = name + ".w" + std::to_string(k++);
      params.emplace_back(m.b.weight(source, t.sizes().vec()));
      m.weights[source] = t;
    }
  m.b.op("aten.zeros.default", {{"size", Arg::List{std::int64_t{2}, shape[0], hidden}}}, {zeros});
  const bool lstm = m.cell == Cell::Lstm;
  std::vector<ValueId> results{y, h};
  if (lstm) results.push_back(m.b.tensor(name + ".c", {2, shape[0], hidden}));
  m.b.op(lstm ? "aten.lstm.input" : "aten.gru.input",
         {{"input", x},
          {"hx", lstm ? Arg(Arg::List{zeros, zeros}) : Arg(zeros)},
          {"params", params},
          {"has_biases", true},
          {"num_layers", std::int64_t{1}},
          {"dropout", 0.0},
          {"train", false},
          {"bidirectional", true},
          {"batch_first", true}},
         std::move(results));
  return y;
}

MapLayer map_layer(Cell cell, std::int64_t B, std::int64_t H, std::int64_t W, std::int64_t C) {
  MapLayer m{.cell = cell, .b = {}, .weights = {}};
  const auto reshape = [&](const char* name, ValueId v, std::vector<std::int64_t> shape) {
    const ValueId y = m.b.tensor(name, shape);
    Arg::List list;
    for (std::int64_t size : shape) list.emplace_back(size);
    m.b.op("aten.reshape.default", {{"self", v}, {"shape", list}}, {y});
    return y;
  };
  const auto transpose = [&](const char* name, ValueId v, std::vector<std::int64_t> shape) {
    const ValueId y = m.b.tensor(name, std::move(shape));
    m.b.op("aten.transpose.int", {{"self", v}, {"dim0", std::int64_t{1}}, {"dim1", std::int64_t{2}}}, {y});
    return y;
  };
  const ValueId x = m.b.input("x", {B, H, W, C});
  const ValueId columns = reshape("columns", transpose("turned", x, {B, W, H, C}), {B * W, H, C});
  const ValueId v = transpose(
      "v", reshape("v_map", layer_call(m, "rnn_v", columns, {B * W, H, C}, 5), {B, W, H, 10}), {B, H, W, 10});
  const ValueId rows = reshape("rows", x, {B * H, W, C});
  const ValueId h = reshape("h", layer_call(m, "rnn_h", rows, {B * H, W, C}, 7), {B, H, W, 14});
  const ValueId y = m.b.tensor("y", {B, H, W, 24});
  m.b.op("aten.cat.default", {{"tensors", Arg::List{v, h}}, {"dim", std::int64_t{-1}}}, {y});
  m.b.output(y);
  return m;
}

TEST(LayerLowering, AMapIsReadAlongColumnsAndRowsWhereItLies) {
  for (const auto& [cell, H, W] : {std::tuple<Cell, std::int64_t, std::int64_t>{Cell::Lstm, 4, 3},
                                   {Cell::Lstm, 4, 4},
                                   {Cell::Gru, 4, 3}}) {
    const MapLayer m = map_layer(cell, 2, H, W, 6);
    const Lowered lowered = lower(m.b.program, m.weights);
    ASSERT_EQ(lowered.program.ops.size(), 1u);
    EXPECT_EQ(lowered.program.ops[0].target,
              cell == Cell::Lstm ? "pollard.packed_lstm_map.default" : "pollard.packed_gru_map.default");
    const at::Tensor x = at::randn({2, H, W, 6});
    const at::Tensor want = Executor(m.b.program).run(m.weights, {x}).at(0),
                     got = Executor(lowered.program).run(lowered.weights, {x}).at(0);
    EXPECT_TRUE(at::allclose(got, want, 1e-5, 1e-6));
  }
}

TEST(LayerLowering, ForACudaDeviceAMapIsOneCallOnWeightsInItsForm) {
  for (const Cell cell : kCells) {
    const MapLayer m = map_layer(cell, 2, 4, 3, 6);
    const Lowered lowered = lower(m.b.program, m.weights, {.device = at::kCUDA});
    ASSERT_EQ(lowered.program.ops.size(), 1u);
    EXPECT_EQ(lowered.program.ops[0].target,
              cell == Cell::Lstm ? "pollard.packed_lstm_map.default" : "pollard.packed_gru_map.default");
    std::set<std::int64_t> sizes;
    for (const auto& [name, tensor] : lowered.weights) sizes.insert(tensor.size(1));
    EXPECT_EQ(sizes, (std::set{DeviceLayer(cell, 6, 5).size, DeviceLayer(cell, 6, 7).size}));
  }
}

TEST(LayerLowering, OnACudaDeviceWideLayersStayLibTorchs) {
  for (const Cell cell : kCells)
    for (const std::int64_t hidden : {96, 97}) {
      MapLayer m{.cell = cell, .b = {}, .weights = {}};
      m.b.output(layer_call(m, "rnn", m.b.input("x", {2, 3, 4}), {2, 3, 4}, hidden));
      const Lowered lowered = lower(m.b.program, m.weights, {.device = at::kCUDA});
      EXPECT_EQ(lowered.program.ops.back().base_name().starts_with("packed"), hidden == 96);
    }
}

TEST(LayerLowering, RowsTakenForColumnsStayTwoCalls) {
  MapLayer m = map_layer(Cell::Lstm, 2, 4, 4, 6);
  for (graph::Op& op : m.b.program.ops)
    if (op.base_name() == "cat")
      op.set("tensors", Arg::List{op.tensors("tensors")[1], op.tensors("tensors")[0]});
  const Lowered lowered = lower(m.b.program, m.weights);
  EXPECT_EQ(lowered.program.ops.back().target, "aten.cat.default");
}

TEST(LayerLowering, ALayerWhoseLastStateIsReadStays) {
  for (const Cell cell : kCells) {
    MapLayer m = map_layer(cell, 1, 3, 2, 4);
    for (const graph::Op& op : m.b.program.ops)
      if (op.target.ends_with(".input")) m.b.output(op.outputs[1]);
    for (const graph::Op& op : lower(m.b.program, m.weights).program.ops)
      EXPECT_FALSE(op.base_name().starts_with("packed")) << op.target;
  }
}

}  // namespace
}  // namespace pollard::kernels
