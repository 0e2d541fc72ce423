// SPDX-License-Identifier: Apache-2.0
// Times pollard's CPU kernels against what LibTorch dispatches to.
//   pollard_kernel_times THREADS REPEAT             Markdown tables of medians and ratios, kernel by kernel
//   pollard_kernel_times THREADS REPEAT NAME...     some of them: lstm, gru, linear, mlstm, focused, masked, cascaded, monarch,
//                                                 pointwise, memory
//   pollard_kernel_times THREADS REPEAT FILE...     one JSON line a network: the executor, plain and lowered; a network is a
//                                                   file or FAMILY:SPEC_JSON, with fresh weights
// The two sides of a row run in turn in one process, so that a slow moment of the machine hits both.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/grad_mode.h>

#include <time.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "graph/error.h"
#include "kernels/attention/cascaded_attention.h"
#include "kernels/attention/focused_attention.h"
#include "kernels/attention/masked_attention.h"
#include "kernels/lowering/lowering.h"
#include "kernels/monarch.h"
#include "kernels/packed_ops.h"
#include "kernels/pointwise.h"
#include "kernels/recurrent/layer.h"
#include "kernels/recurrent/mlstm.h"
#include "kernels/slab_sums.h"
#include "kernels/slice_gather.h"
#include "models/model.h"
#include "models/registry.h"

namespace {

using namespace pollard;
using Body = std::function<at::Tensor()>;

/// With one thread CPU seconds, which other processes disturb least; with more, seconds by the clock.
double now() {
  timespec t{};
  clock_gettime(at::get_num_threads() == 1 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

double seconds(const Body& body) {
  const double start = now();
  static_cast<void>(body());
  return now() - start;
}

double median(std::vector<double> values) {
  std::ranges::nth_element(values, values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2));
  return values[values.size() / 2];
}

struct Row {
  double theirs, ours, difference, fastest_theirs, fastest_ours;
  double ratio() const { return theirs / ours; }
};

Row race(const Body& theirs, const Body& ours, int repeat) {
  const at::Tensor a = theirs(), b = ours();
  std::vector<double> t, o;
  for (int i = 0; i < repeat; ++i) {
    t.push_back(seconds(theirs));
    o.push_back(seconds(ours));
  }
  return {median(t), median(o), a.sub(b).abs().max().item<double>(), std::ranges::min(t),
          std::ranges::min(o)};
}

kernels::Direction direction(std::int64_t inputs, std::int64_t hidden, std::int64_t gates) {
  const double scale = 1 / std::sqrt(static_cast<double>(hidden));
  const auto random = [&](at::IntArrayRef shape) { return at::rand(shape).mul(2).sub(1).mul(scale); };
  const std::int64_t rows = gates * hidden;
  return {random({rows, inputs}), random({rows, hidden}), random({rows}), random({rows})};
}

struct Layer {
  kernels::Cell cell;
  std::int64_t hidden;
  std::vector<kernels::Direction> directions;
  at::Tensor packed;
  Layer(kernels::Cell kind, std::int64_t inputs, std::int64_t h) : cell(kind), hidden(h) {
    const std::int64_t gates = kind == kernels::Cell::Lstm ? 4 : 3;
    directions = {direction(inputs, h, gates), direction(inputs, h, gates)};
    packed = kernels::pack_layer(kind, directions);
  }
  at::Tensor run(const at::Tensor& x) const {
    std::vector<at::Tensor> weights;
    for (const auto& d : directions)
      weights.insert(weights.end(), {d.weight_ih, d.weight_hh, d.bias_ih, d.bias_hh});
    const at::Tensor zeros = at::zeros({2, x.size(0), hidden});
    if (cell == kernels::Cell::Gru)
      return std::get<0>(at::gru(x, zeros, weights, true, 1, 0, false, true, true));
    return std::get<0>(at::lstm(x, {zeros, zeros}, weights, true, 1, 0, false, true, true));
  }
};

/// BiLSTM2D or BiGRU2D as LibTorch does it: [N, S, S, C] turned, flattened, joined.
at::Tensor map_by_libtorch(const Layer& columns, const Layer& rows, const at::Tensor& x) {
  const std::int64_t n = x.size(0), s = x.size(1), c = x.size(3);
  const at::Tensor v =
      columns.run(x.transpose(1, 2).reshape({n * s, s, c})).view({n, s, s, 2 * columns.hidden});
  const at::Tensor h = rows.run(x.reshape({n * s, s, c})).view({n, s, s, 2 * rows.hidden});
  return at::cat({v.transpose(1, 2), h}, -1);
}

void time_layers(kernels::Cell cell, int repeat) {
  struct Size {
    std::int64_t side, inputs, hidden;
  };
  const std::string kind = cell == kernels::Cell::Lstm ? "lstm" : "gru";
  const auto layer_op =
      c10::Dispatcher::singleton()
          .findSchemaOrThrow(("pollard::packed_" + kind).c_str(), "")
          .typed<at::Tensor(const at::Tensor&, const at::Tensor&, std::int64_t, std::int64_t)>();
  const auto map_op = c10::Dispatcher::singleton()
                          .findSchemaOrThrow(("pollard::packed_" + kind + "_map").c_str(), "")
                          .typed<at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&,
                                            std::int64_t, std::int64_t)>();
  std::printf(
      "| batch | map | inputs | H | %s ms | own ms | ratio | both ways on a map ms | own ms | ratio | "
      "difference "
      "|\n",
      kind.c_str());
  std::printf("|---|---|---|---|---|---|---|---|---|---|---|\n");
  double product = 1, map_product = 1;
  int count = 0;
  for (std::int64_t n : {1, 8})
    for (const Size& s : {Size{32, 192, 48}, Size{32, 192, 33}, Size{32, 144, 36}, Size{32, 96, 24},
                          Size{16, 384, 96}, Size{16, 384, 72}, Size{16, 288, 70}, Size{16, 192, 48}}) {
      const Layer columns(cell, s.inputs, s.hidden), rows(cell, s.inputs, s.hidden);
      const at::Tensor map = at::randn({n, s.side, s.side, s.inputs}),
                       x = map.view({n * s.side, s.side, s.inputs});
      const Row one = race([&] { return rows.run(x); },
                           [&] { return layer_op.call(x, rows.packed, s.hidden, 1); }, repeat);
      const Row both =
          race([&] { return map_by_libtorch(columns, rows, map); },
               [&] { return map_op.call(map, columns.packed, rows.packed, s.hidden, s.hidden); }, repeat);
      std::printf(
          "| %ld | %ld x %ld | %ld | %ld | %.3f | %.3f | **%.2f** | %.3f | %.3f | **%.2f** | %.1e |\n", n,
          s.side, s.side, s.inputs, s.hidden, 1e3 * one.theirs, 1e3 * one.ours, one.ratio(),
          1e3 * both.theirs, 1e3 * both.ours, both.ratio(), std::max(one.difference, both.difference));
      product *= one.ratio(), map_product *= both.ratio(), ++count;
    }
  std::printf("geometric mean %.2f, %.2f (%s)\n\n", std::pow(product, 1.0 / count),
              std::pow(map_product, 1.0 / count), kernels::layer_instruction_set());
}

void time_linear(int repeat) {
  using Signature = at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&,
                               const std::optional<at::Tensor>&, std::string_view);
  static const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow("pollard::packed_linear", "").typed<Signature>();
  std::printf("| rows | in | out | linear ms | packed ms | ratio | with GELU ms | packed ms | ratio |\n");
  std::printf("|---|---|---|---|---|---|---|---|---|\n");
  for (std::int64_t rows : {1, 16, 197, 788})
    for (const auto& [in, out] :
         {std::pair<std::int64_t, std::int64_t>{768, 768}, {768, 3072}, {3072, 768}, {384, 1536}}) {
      const at::Tensor x = at::randn({rows, in}), w = at::randn({out, in}).mul(0.02), b = at::randn({out});
      const at::Tensor packed = kernels::pack_linear_weight(w, rows);
      const Row plain = race([&] { return at::linear(x, w, b); },
                             [&] { return op.call(x, packed, b, {}, "none"); }, repeat);
      const Row gelu = race([&] { return at::gelu(at::linear(x, w, b)); },
                            [&] { return op.call(x, packed, b, {}, "gelu"); }, repeat);
      std::printf("| %ld | %ld | %ld | %.3f | %.3f | **%.2f** | %.3f | %.3f | **%.2f** |\n", rows, in, out,
                  1e3 * plain.theirs, 1e3 * plain.ours, plain.ratio(), 1e3 * gelu.theirs, 1e3 * gelu.ours,
                  gelu.ratio());
    }
}

void time_mlstm(int repeat) {
  using Signature = at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
                               const at::Tensor&, double);
  static const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow("pollard::mlstm", "").typed<Signature>();
  std::printf("\n| heads | S | d | ATen ms | own ms | ratio | difference |\n|---|---|---|---|---|---|---|\n");
  for (const auto& [S, d] :
       {std::pair<std::int64_t, std::int64_t>{196, 96}, {196, 192}, {729, 96}, {729, 192}, {196, 48}}) {
    const at::Tensor q = at::randn({1, 4, S, d}),
                     k = at::randn({1, 4, S, d}).div(std::sqrt(static_cast<double>(d))),
                     v = at::randn({1, 4, S, d}), i = at::randn({1, 4, S}), f = at::randn({1, 4, S}).add(3);
    const Row row = race([&] { return kernels::mlstm_by_aten(q, k, v, i, f, 1e-6); },
                         [&] { return op.call(q, k, v, i, f, 1e-6); }, repeat);
    std::printf("| 4 | %ld | %ld | %.3f | %.3f | **%.2f** | %.1e |\n", S, d, 1e3 * row.theirs, 1e3 * row.ours,
                row.ratio(), row.difference);
  }
}

/// FLatten's layers: DeiT, Swin's windows and PVT's first stage, whose keys are fewer.
void time_focused(int repeat) {
  std::printf(
      "\n| B | N | n | heads | d | ATen ms | own ms | ratio | difference "
      "|\n|---|---|---|---|---|---|---|---|---|\n");
  struct Size {
    std::int64_t batch, queries, keys, heads, d;
  };
  for (const Size& s : {Size{1, 197, 197, 3, 64}, Size{8, 197, 197, 3, 64}, Size{64, 49, 49, 3, 32},
                        Size{1, 3136, 49, 1, 64}, Size{1, 3136, 3136, 2, 32}, Size{1, 197, 197, 3, 45}}) {
    const std::int64_t C = s.heads * s.d;
    const at::Tensor qkv = at::randn({s.batch, s.queries, 3 * C}), q = qkv.slice(2, 0, C),
                     kv = at::randn({s.batch, s.keys, 2 * C}), k = kv.slice(2, 0, C), v = kv.slice(2, C),
                     gain = at::rand({C}).add(0.5);
    const Row row = race(
        [&] {
          return kernels::focused_attention_by_aten(q, k, v, gain, {s.heads, 3});
        },
        [&] {
          return kernels::focused_attention(q, k, v, gain, {s.heads, 3});
        },
        repeat);
    std::printf("| %ld | %ld | %ld | %ld | %ld | %.3f | %.3f | **%.2f** | %.1e |\n", s.batch, s.queries,
                s.keys, s.heads, s.d, 1e3 * row.theirs, 1e3 * row.ours, row.ratio(), row.difference);
  }
}

/// Attention in ATen's operator against the kernel with all heads open and with every other one closed.
void time_masked(int repeat) {
  std::printf(
      "\n| B | heads | L | d | ATen ms | own ms | ratio | half closed ms | ratio | difference "
      "|\n|---|---|---|---|---|---|---|---|---|---|\n");
  struct Size {
    std::int64_t batch, heads, length, d;
  };
  for (const Size& s : {Size{1, 12, 197, 64}, Size{8, 12, 197, 64}, Size{8, 12, 64, 64}, Size{8, 12, 64, 32},
                        Size{1, 12, 16, 64}, Size{1, 12, 512, 64}, Size{64, 3, 49, 32}}) {
    const auto heads = [&] {  // as a layer for all three gives them
      return at::randn({s.batch, s.length, 3, s.heads, s.d}).select(2, 1).transpose(1, 2);
    };
    const at::Tensor q = heads(), k = heads(), v = heads(), all = at::ones({s.heads}),
                     half = at::arange(s.heads).remainder(2).to(at::kFloat);
    const auto open = [&](const at::Tensor& gate) {
      return race([&] { return kernels::masked_attention_by_aten(q, k, v, gate); },
                  [&] { return kernels::masked_attention(q, k, v, gate); }, repeat);
    };
    const Row whole = open(all), closed = open(half);
    std::printf("| %ld | %ld | %ld | %ld | %.3f | %.3f | **%.2f** | %.3f | **%.2f** | %.1e |\n", s.batch,
                s.heads, s.length, s.d, 1e3 * whole.theirs, 1e3 * whole.ours, whole.ratio(),
                1e3 * closed.ours, closed.ratio(), whole.difference);
  }
}

/// EfficientViT's cascades, windows of 7 x 7 or 4 x 4.
void time_cascaded(int repeat) {
  std::printf(
      "\n| network | stage | batch | windows | heads | channels | ATen ms | own ms | ratio | difference "
      "|\n|---|---|---|---|---|---|---|---|---|---|\n");
  struct Size {
    const char* network;
    std::int64_t stage, windows, side, heads, channels;
  };
  for (const Size& s :
       {Size{"M0", 1, 4, 7, 4, 64}, Size{"M0", 2, 1, 7, 4, 128}, Size{"M0", 3, 1, 4, 4, 192},
        Size{"M5", 1, 4, 7, 3, 192}, Size{"M5", 2, 1, 7, 3, 288}, Size{"M5", 3, 1, 4, 4, 384}})
    for (const std::int64_t batch : {1, 8}) {
      std::vector<at::Tensor> qkv, qkv_bias, depthwise, depthwise_bias;
      const std::int64_t width = s.channels / s.heads, n = s.side * s.side, sides[] = {7, 5, 3, 3};
      for (std::int64_t h = 0; h < s.heads; ++h) {
        qkv.push_back(at::randn({32 + width, width, 1, 1}).div(std::sqrt(static_cast<double>(width))));
        qkv_bias.push_back(at::randn({32 + width}));
        depthwise.push_back(at::randn({16, 1, sides[h], sides[h]}).div(static_cast<double>(sides[h])));
        depthwise_bias.push_back(at::randn({16}));
      }
      const at::Tensor x = at::randn({batch * s.windows, s.channels, s.side, s.side}),
                       bias = at::randn({s.heads, n, n});
      const kernels::CascadedWeights w{qkv, qkv_bias, depthwise, depthwise_bias, bias};
      const Row row = race([&] { return kernels::cascaded_attention_by_aten(x, w, 0.25); },
                           [&] { return kernels::cascaded_attention(x, w, 0.25); }, repeat);
      std::printf("| %s | %ld | %ld | %ld of %ld x %ld | %ld | %ld | %.3f | %.3f | **%.2f** | %.1e |\n",
                  s.network, s.stage, batch, batch * s.windows, s.side, s.side, s.heads, s.channels,
                  1e3 * row.theirs, 1e3 * row.ours, row.ratio(), row.difference);
    }
}

/// Four blocks and half of a dense layer's weights, factors packed once; and against that dense layer.
void time_monarch(int repeat) {
  using Signature =
      at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&, std::int64_t, std::int64_t);
  static const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow("pollard::packed_monarch", "").typed<Signature>();
  std::printf(
      "\n| rows | in | out | rank | ATen ms | own ms | ratio | dense ms | ratio | difference "
      "|\n|---|---|---|---|---|---|---|---|---|---|\n");
  constexpr std::int64_t kBlocks = 4;
  for (const auto& [in, out] : {std::pair<std::int64_t, std::int64_t>{384, 384},
                                {384, 1536},
                                {1536, 384},
                                {768, 768},
                                {768, 3072},
                                {3072, 768}})
    for (const std::int64_t rows : {16, 197, 788}) {
      // rank r a pair of blocks: 4 (4 r) in / 4 + 4 r out = half of in out
      const std::int64_t rank = in * out / (2 * kBlocks * (in + out));
      const at::Tensor x = at::randn({rows, in}), dense = at::randn({out, in}).mul(0.02),
                       first = at::randn({kBlocks, kBlocks * rank, in / kBlocks}).mul(0.05),
                       second = at::randn({kBlocks, out / kBlocks, kBlocks * rank}).mul(0.05),
                       packed_first = kernels::pack_monarch_factor(first),
                       packed_second = kernels::pack_monarch_factor(second);
      const auto own = [&] { return op.call(x, packed_first, packed_second, first.size(1), second.size(1)); };
      const Row row = race([&] { return kernels::monarch_by_aten(x, first, second); }, own, repeat);
      const Row against = race([&] { return at::linear(x, dense); }, own, repeat);
      std::printf("| %ld | %ld | %ld | %ld | %.3f | %.3f | **%.2f** | %.3f | **%.2f** | %.1e |\n", rows, in,
                  out, rank, 1e3 * row.theirs, 1e3 * row.ours, row.ratio(), 1e3 * against.theirs,
                  against.ratio(), row.difference);
    }
}

/// 1 x 1 convolutions of ResNet-50's maps, their sums in place, against oneDNN's on packed weights.
void time_pointwise(int repeat) {
  const auto find = [](const char* name) { return c10::Dispatcher::singleton().findSchemaOrThrow(name, ""); };
  const c10::OperatorHandle packed = find("pollard::packed_conv2d_"),
                            own = find("pollard::packed_pointwise_");
  const auto call = [](const c10::OperatorHandle& op, std::vector<c10::IValue> stack) {
    op.callBoxed(stack);
    return stack.at(0).toTensor();
  };
  const std::vector<std::int64_t> one{1, 1}, none{0, 0};
  std::printf(
      "\n| batch | map | inputs | outputs | oneDNN ms | own ms | ratio | difference "
      "|\n|---|---|---|---|---|---|---|---|\n");
  for (const std::int64_t batch : {1, 8})
    for (const auto& [side, in, out] : std::vector<std::array<std::int64_t, 3>>{{56, 64, 64},
                                                                                {56, 64, 256},
                                                                                {56, 256, 64},
                                                                                {28, 128, 512},
                                                                                {28, 512, 128},
                                                                                {14, 256, 1024},
                                                                                {14, 1024, 256},
                                                                                {7, 512, 2048},
                                                                                {7, 2048, 512}}) {
      const auto last = at::MemoryFormat::ChannelsLast;
      const at::Tensor x = at::randn({batch, in, side, side}).contiguous(last), bias = at::randn({out}),
                       weight = at::randn({out, in, 1, 1}).mul(0.1),
                       theirs =
                           kernels::pack_conv2d_weight(weight, {{1, 1}, {0, 0}, {1, 1}}, x.sizes().vec()),
                       ours = kernels::pack_pointwise_weight(weight);
      const at::Tensor sum = at::zeros({batch, out, side, side}).contiguous(last), other = sum.clone();
      const Row row = race(
          [&] {
            return call(packed, {x, theirs, bias, sum, one, none, one, 1, "relu"});
          },
          [&] {
            return call(own, {x, ours, bias, other, out, one, true});
          },
          repeat);
      std::printf("| %ld | %ld x %ld | %ld | %ld | %.3f | %.3f | **%.2f** | %.1e |\n", batch, side, side, in,
                  out, 1e3 * row.theirs, 1e3 * row.ours, row.ratio(), row.difference);
    }
}

/// Sums and slices of weights against copying as large a tensor into memory that was touched before: bytes read and written
/// in a second. A slice of scattered columns reads whole cache lines of what it leaves out, so all of the source counts.
void time_memory(int repeat) {
  std::printf(
      "\n| weight | type | what | MB | ms | GB/s | copying GB/s | share "
      "|\n|---|---|---|---|---|---|---|---|\n");
  const auto print = [&](const at::Tensor& w, const char* what, std::int64_t bytes, const Body& body) {
    const at::Tensor copy = at::zeros_like(w);
    const double all = 2.0 * static_cast<double>(w.nbytes()), moved = static_cast<double>(bytes);
    std::vector<double> t, o;
    static_cast<void>(body());
    for (int i = 0; i < repeat; ++i) {
      t.push_back(seconds([&] { return at::Tensor(copy).copy_(w); }));
      o.push_back(seconds(body));
    }
    const double theirs = 1e-9 * all / median(t), ours = 1e-9 * moved / median(o);
    std::string shape;
    for (const std::int64_t size : w.sizes()) shape += (shape.empty() ? "" : " x ") + std::to_string(size);
    std::printf("| %s | %s | %s | %.1f | %.3f | %.1f | %.1f | **%.0f %%** |\n", shape.c_str(),
                c10::toString(w.scalar_type()), what, 1e-6 * moved, 1e3 * median(o), ours, theirs,
                100 * ours / theirs);
  };
  const std::vector<std::pair<std::vector<std::int64_t>, at::ScalarType>> weights{
      {{4096, 4096}, at::kFloat},
      {{4096, 4096}, at::kBFloat16},
      {{512, 512, 3, 3}, at::kFloat},
      {{3072, 768}, at::kFloat}};
  for (const auto& [shape, type] : weights) {
    const at::Tensor w = at::randn(shape).to(type), out = at::zeros_like(w);
    const auto bytes = static_cast<std::int64_t>(w.nbytes());
    const auto sums = [&](std::vector<std::int64_t> dims) {
      return [&w, dims] {
        static_cast<void>(kernels::slab_power_sums(w, dims, 2));
        return at::Tensor();
      };
    };
    print(w, "squares by row", bytes, sums({0}));
    print(w, "by row and column", bytes, sums({0, 1}));
    for (const std::int64_t dim : {0, 1}) {
      const at::Tensor half =
          std::get<0>(at::randperm(w.size(dim), at::kLong).slice(0, 0, w.size(dim) / 2).sort());
      const std::int64_t* const first = half.const_data_ptr<std::int64_t>();
      const std::map<std::int64_t, std::vector<std::int64_t>> kept{{dim, {first, first + half.numel()}}};
      print(w, dim == 0 ? "half of the rows" : "half of the columns", dim == 0 ? bytes : bytes + bytes / 2,
            [&] {
              kernels::slice_gather_into(w, kept, static_cast<char*>(out.data_ptr()));
              return out;
            });
    }
  }
}

struct Table {
  std::string_view name;
  void (*print)(int repeat);
};
constexpr Table kTables[] = {{"lstm", [](int repeat) { time_layers(kernels::Cell::Lstm, repeat); }},
                             {"gru", [](int repeat) { time_layers(kernels::Cell::Gru, repeat); }},
                             {"linear", time_linear},
                             {"mlstm", time_mlstm},
                             {"focused", time_focused},
                             {"masked", time_masked},
                             {"cascaded", time_cascaded},
                             {"monarch", time_monarch},
                             {"pointwise", time_pointwise},
                             {"memory", time_memory}};

models::Model network(const std::string& name) {
  const auto colon = name.find(":{");
  if (colon == std::string::npos) return models::load(name);
  const models::Family* const family = models::find_family(name.substr(0, colon));
  TORCH_CHECK_VALUE(family, "no family ", name.substr(0, colon));
  return models::fresh_model(*family, name.substr(colon + 1), 0);
}

void time_network(const std::string& path, int repeat) {
  const models::Model model = network(path);
  const kernels::Executor plain(model.program);
  const kernels::Lowered lowered = kernels::lower(model.program, model.weights);
  const kernels::Executor fast(lowered.program);
  const Row row = race([&] { return plain.run(model.weights, model.sample_inputs).at(0); },
                       [&] { return fast.run(lowered.weights, model.sample_inputs).at(0); }, repeat);
  std::printf(
      "{\"file\": %s, \"plain_s\": %.6f, \"lowered_s\": %.6f, \"ratio\": %.3f, \"fastest\": [%.6f, "
      "%.6f], "
      "\"difference\": %.2e}\n",
      nlohmann::json(path).dump().c_str(), row.theirs, row.ours, row.ratio(), row.fastest_theirs,
      row.fastest_ours, row.difference);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  at::set_num_threads(argc > 1 ? std::atoi(argv[1]) : 1);
  const int repeat = argc > 2 ? std::atoi(argv[2]) : 25;
  const at::NoGradGuard no_grad;
  try {
    for (int i = 3; i < argc; ++i) {
      const Table* const table = std::ranges::find(kTables, std::string_view(argv[i]), &Table::name);
      if (table == std::end(kTables))
        time_network(argv[i], repeat);
      else
        table->print(repeat);
    }
  } catch (const UserError& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  if (argc <= 3)
    for (const Table& table : kTables) table.print(repeat);
  return 0;
}
