// SPDX-License-Identifier: Apache-2.0
#include "models/families/convlstm.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/zeros.h>

#include <nlohmann/json.hpp>

#include "models/families/convlstm_spec.h"
#include "models/layers/conv.h"
#include "models/layers/roll_out.h"

namespace pollard::models {
namespace {

/// h and c of one layer, [B, hidden, H, W].
struct State {
  at::Tensor h, c;
};

State zero_state(const at::Tensor& map, std::int64_t batch, std::int64_t hidden, std::int64_t h,
                 std::int64_t w) {
  const auto zeros = [&] { return at::zeros({batch, hidden, h, w}, map.options()); };
  return {zeros(), zeros()};
}

/// What an LSTM does with its four gates before their activations.
State advance(const State& before, const at::Tensor& i, const at::Tensor& f, const at::Tensor& g,
              const at::Tensor& o) {
  const at::Tensor c = at::sigmoid(f).mul(before.c).add(at::sigmoid(i).mul(at::tanh(g)));
  return {at::sigmoid(o).mul(at::tanh(c)), c};
}

/// Normalises whole maps [B, channels, H, W], with a gain and a shift for every element.
struct MapNorm : Module {
  at::Tensor weight, bias;
  MapNorm(std::int64_t channels, std::int64_t side) {
    parameter("weight", weight, {channels, side, side}, Init::ones());
    parameter("bias", bias, {channels, side, side});
  }
  at::Tensor operator()(const at::Tensor& x) const {
    return at::layer_norm(x, weight.sizes(), weight, bias, 1e-5);
  }
};

struct NormedConv : Module {
  Conv2d conv;
  std::optional<MapNorm> norm;
  NormedConv(const ConvLstmSpec& s, std::int64_t in, std::int64_t out)
      : conv(in, out, s.filter_size, {.padding = s.filter_size / 2, .bias = Bias::No}) {
    child("0", conv);
    if (s.layer_norm) child("1", norm.emplace(out, s.side()));
  }
  at::Tensor operator()(const at::Tensor& x) const { return norm ? (*norm)(conv(x)) : conv(x); }
};

struct ConvCell : Module {
  NormedConv conv_x, conv_h, conv_o;
  Conv2d conv_last;
  ConvCell(const ConvLstmSpec& s, std::int64_t in, std::int64_t hidden)
      : conv_x(s, in, 4 * hidden),
        conv_h(s, hidden, 4 * hidden),
        conv_o(s, 2 * hidden, hidden),
        conv_last(2 * hidden, hidden, 1, {.bias = Bias::No}) {
    children({{"conv_x", conv_x}, {"conv_h", conv_h}, {"conv_o", conv_o}, {"conv_last", conv_last}});
  }
  State operator()(const at::Tensor& x, const State& before) const {
    const auto gates = conv_x(x).add(conv_h(before.h)).chunk(4, 1);
    return advance(before, gates[0], gates[1], gates[2], gates[3]);
  }
};

class ConvLstm : public Network {
 public:
  explicit ConvLstm(ConvLstmSpec spec)
      : spec_(std::move(spec)), conv_last_(spec_.num_hidden.back(), spec_.channels(), 1, {.bias = Bias::No}) {
    for (std::int64_t in = spec_.channels(); const std::int64_t hidden : spec_.num_hidden) {
      cells_.emplace(spec_, in, hidden);
      in = hidden;
    }
    children({{"cell_list", cells_}, {"conv_last", conv_last_}});
  }

  Result forward(const std::vector<at::Tensor>& inputs) override {
    const at::Tensor frames = inputs.at(0).permute({0, 1, 4, 2, 3});
    std::vector<State> states;
    for (const std::int64_t hidden : spec_.num_hidden)
      states.push_back(zero_state(frames, frames.size(0), hidden, spec_.side(), spec_.side()));
    const at::Tensor next = roll_out(frames, {spec_.t_in, spec_.t_out}, [&](at::Tensor x) {
      for (std::size_t l = 0; l < states.size(); ++l) x = (states[l] = cells_[l](x, states[l])).h;
      return conv_last_(x);
    });
    return next.permute({0, 1, 3, 4, 2});
  }

  std::vector<Example> examples() const override {
    return {{"frames", {batch(), spec_.t_in, spec_.side(), spec_.side(), spec_.channels()}}};
  }

 private:
  ConvLstmSpec spec_;
  ModuleList<ConvCell> cells_;
  Conv2d conv_last_;
};

struct FusedCell : Module {
  Conv2d conv;
  FusedCell(const ConvLstmFusedSpec& s, std::int64_t in, std::int64_t hidden)
      : conv(in + hidden, 4 * hidden, s.kernel(), {.padding = s.padding(), .bias = Bias{s.bias}}) {
    child("conv", conv);
  }
  State operator()(const at::Tensor& x, const State& before) const {
    const auto gates = conv(at::cat({x, before.h}, 1)).chunk(4, 1);
    return advance(before, gates[0], gates[1], gates[3], gates[2]);
  }
};

class FusedConvLstm : public Network {
 public:
  explicit FusedConvLstm(ConvLstmFusedSpec spec) : spec_(std::move(spec)) {
    for (std::int64_t in = spec_.input_dim; const std::int64_t hidden : spec_.hidden_dim) {
      cells_.emplace(spec_, in, hidden);
      in = hidden;
    }
    child("cell_list", cells_);
  }

  Result forward(const std::vector<at::Tensor>& inputs) override {
    at::Tensor x = inputs.at(0);
    for (std::size_t l = 0; l < cells_.size(); ++l) {
      State state = zero_state(x, x.size(0), spec_.hidden_dim[l], x.size(3), x.size(4));
      std::vector<at::Tensor> outputs;
      for (std::int64_t t = 0; t < x.size(1); ++t)
        outputs.push_back((state = cells_[l](x.select(1, t), state)).h);
      x = at::stack(outputs, 1);
      tap("h of layer " + std::to_string(l), state.h);
      tap("c of layer " + std::to_string(l), state.c);
    }
    return x;
  }

  std::vector<Example> examples() const override {
    return {{"x", {batch(), spec_.t_in, spec_.input_dim, Dim(8, "height", 1, {}), Dim(9, "width", 1, {})}}};
  }

 private:
  ConvLstmFusedSpec spec_;
  ModuleList<FusedCell> cells_;
};

std::string guess(const Shapes& shapes) {
  ConvLstmSpec s;
  s.filter_size = shapes.dim("cell_list.0.conv_x.0.weight", 3);
  s.layer_norm = shapes.has("cell_list.0.conv_x.1.weight") ? 1 : 0;
  // p p C is all there is to see: a patch is as large as usual where that divides.
  const std::int64_t channels = shapes.dim("conv_last.weight", 0);
  if (channels % s.channels() != 0) s.patch_size = 1;
  s.in_chans = channels / (s.patch_size * s.patch_size);
  if (s.layer_norm) s.img_size = s.patch_size * shapes.dim("cell_list.0.conv_x.1.weight", 2);
  s.num_hidden.clear();
  for (std::int64_t l = 0; l < shapes.count("cell_list.", ".conv_h.0.weight"); ++l)
    s.num_hidden.push_back(shapes.dim("cell_list." + std::to_string(l) + ".conv_h.0.weight", 1));
  return spec_to_json(s);
}

std::string guess_fused(const Shapes& shapes) {
  ConvLstmFusedSpec s;
  s.hidden_dim.clear();
  for (std::int64_t l = 0; l < std::max<std::int64_t>(1, shapes.count("cell_list.", ".conv.weight")); ++l)
    s.hidden_dim.push_back(shapes.dim("cell_list." + std::to_string(l) + ".conv.weight", 0) / 4);
  s.input_dim = shapes.dim("cell_list.0.conv.weight", 1) - s.hidden_dim[0];
  s.kernel_size = {shapes.dim("cell_list.0.conv.weight", 2), shapes.dim("cell_list.0.conv.weight", 3)};
  s.bias = shapes.has("cell_list.0.conv.bias");
  return spec_to_json(s);
}

/// After the sequence, h and c of every layer.
std::vector<std::string> fused_taps(std::string_view golden) {
  std::vector<std::string> names;
  const auto layers = nlohmann::json::parse(golden).at("config").at("hidden_dim").size();
  for (std::size_t l = 0; l < layers; ++l)
    for (const char* state : {"h", "c"})
      names.push_back(std::string(state) + " of layer " + std::to_string(l));
  return names;
}

}  // namespace

Family convlstm() {
  Family f =
      make_family<ConvLstmSpec, ConvLstm>("convlstm", "ConvLSTM for video prediction, with OpenSTL's keys");
  f.published = {{"convlstm_mmnist", "{}", 15'083'520}};
  f.golden_archs = {"convlstm"};
  f.small_specs = {
      R"({"img_size":16,"num_hidden":[8,6],"filter_size":3,"t_in":2,"t_out":2})",
      R"({"img_size":8,"in_chans":2,"patch_size":2,"num_hidden":[6],"layer_norm":1,"t_in":1,"t_out":2})"};
  f.spec_from_shapes = guess;
  return f;
}

Family convlstm_fused() {
  Family f = make_family<ConvLstmFusedSpec, FusedConvLstm>("convlstm_fused",
                                                           "ConvLSTM layers, one convolution a cell");
  f.golden_archs = {"convlstm_fused"};
  f.small_specs = {R"({"input_dim":2,"hidden_dim":[6,4],"t_in":3})",
                   R"({"input_dim":3,"hidden_dim":[12,2],"kernel_size":[5,3],"bias":false,"t_in":2})"};
  f.spec_from_shapes = guess_fused;
  f.golden_taps = fused_taps;
  return f;
}

}  // namespace pollard::models
