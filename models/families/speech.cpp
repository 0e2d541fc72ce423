// SPDX-License-Identifier: Apache-2.0
#include "models/families/speech.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/chunk.h>
#include <ATen/ops/conv1d.h>
#include <ATen/ops/cos.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/lstm.h>
#include <ATen/ops/outer.h>
#include <ATen/ops/reflection_pad1d.h>
#include <ATen/ops/sin.h>
#include <ATen/ops/sqrt.h>
#include <ATen/ops/zeros.h>

#include <array>
#include <numbers>

#include "models/layers/activation.h"
#include "models/layers/conv.h"
#include "models/layers/recurrent.h"

namespace pollard::models {
namespace {

struct SileroSpec {
  std::int64_t context_size = 64, window_size = 512, filter_length = 256, hop_length = 128;
  std::vector<std::int64_t> channels{128, 64, 64, 128};
  std::int64_t hidden_size = 128;

  void fields(Fields& f) {
    f.integer("context_size", context_size, {0, 1 << 12});
    f.integer("window_size", window_size, {1, 1 << 14});
    f.integer("filter_length", filter_length, {2, 1 << 12});
    f.integer("hop_length", hop_length, {1, 1 << 12});
    f.integers("channels", channels, {1, 1 << 14}, 4);
    f.integer("hidden_size", hidden_size, {1, 1 << 14});
    f.require(channels.size() == kStrides.size(), "four numbers of channels");
    f.require(frame() >= filter_length && columns() == 1, "a frame is one column after the convolutions");
    f.require(filter_length % 2 == 0, "filter_length is even");
  }
  std::int64_t frame() const { return context_size + window_size; }
  std::int64_t bins() const { return filter_length / 2 + 1; }
  std::int64_t padding() const { return filter_length / 4; }
  /// Columns of a frame's spectrum after the last convolution.
  std::int64_t columns() const {
    std::int64_t n = (frame() + padding() - filter_length) / hop_length + 1;
    for (const std::int64_t stride : kStrides) n = (n - 1) / stride + 1;
    return n;
  }
  static constexpr std::array<std::int64_t, 4> kStrides{1, 2, 2, 1};
};

/// Cosines and sines under a Hann window, real parts first: [2 bins, 1, length].
at::Tensor spectrum_filters(const SileroSpec& s) {
  const at::Tensor n = at::arange(s.filter_length, at::kDouble)
                           .mul(2 * std::numbers::pi / static_cast<double>(s.filter_length));
  const at::Tensor angle = at::outer(at::arange(s.bins(), at::kDouble), n);
  const at::Tensor window = at::cos(n).mul(-0.5).add(0.5);
  return at::cat({at::cos(angle), at::sin(angle).neg()}, 0).mul(window).unsqueeze(1).to(at::kFloat);
}

/// torch.nn.LSTMCell's parameters, run over a whole sequence [B, T, in] -> [B, T, H].
struct CellOverTime : Module {
  at::Tensor weight_ih, weight_hh, bias_ih, bias_hh;
  CellOverTime(std::int64_t in, std::int64_t hidden) {
    const Init init = Init::inverse_sqrt(hidden);
    parameter("weight_ih", weight_ih, {4 * hidden, in}, init);
    parameter("weight_hh", weight_hh, {4 * hidden, hidden}, init);
    parameter("bias_ih", bias_ih, {4 * hidden}, init);
    parameter("bias_hh", bias_hh, {4 * hidden}, init);
  }
  at::Tensor operator()(const at::Tensor& x) const {
    const at::Tensor zeros = at::zeros({1, x.size(0), weight_hh.size(1)}, x.options());
    const std::vector<at::Tensor> weights{weight_ih, weight_hh, bias_ih, bias_hh};
    return std::get<0>(at::lstm(x, {zeros, zeros}, weights, true, 1, 0, training(), false, true));
  }
};

class SileroVad : public Network {
 public:
  explicit SileroVad(SileroSpec spec)
      : spec_(std::move(spec)),
        lstm_(spec_.channels.back(), spec_.hidden_size),
        last_(spec_.hidden_size, 1, 1) {
    buffer("stft_conv.weight", filters_, spectrum_filters(spec_));
    std::int64_t in = spec_.bins();
    for (std::size_t i = 0; i < spec_.channels.size(); in = spec_.channels[i++])
      child("conv" + std::to_string(i + 1),
            convolutions_.emplace(in, spec_.channels[i], 3,
                                  ConvOptions<1>{.stride = SileroSpec::kStrides[i], .padding = 1}));
    children({{"lstm_cell", lstm_}, {"final_conv", last_}});
  }

  Result forward(const std::vector<at::Tensor>& inputs) override {
    const at::Tensor& frames = inputs.at(0);
    const std::int64_t batch = frames.size(0), count = frames.size(1);
    const at::Tensor padded =
        at::reflection_pad1d(frames.reshape({batch * count, 1, frames.size(2)}), {0, spec_.padding()});
    const auto parts = at::conv1d(padded, filters_, {}, spec_.hop_length).chunk(2, 1);
    at::Tensor x = at::sqrt(parts[0].square().add(parts[1].square()));
    for (const auto& convolution : convolutions_) x = activate((*convolution)(x), Activation::Relu);
    const at::Tensor states = lstm_(x.view({batch, count, x.size(1)}));
    tap("states", states);
    return last_(activate(states, Activation::Relu).transpose(1, 2)).sigmoid().squeeze(1);
  }

  std::vector<Example> examples() const override {
    return {{"frames", {batch(), sequence(), spec_.frame()}}};
  }

 private:
  SileroSpec spec_;
  at::Tensor filters_;
  ModuleList<Conv1d> convolutions_;
  CellOverTime lstm_;
  Conv1d last_;
};

struct VoiceSpec {
  std::int64_t mel_n_channels = 40, model_hidden_size = 256, model_num_layers = 3, model_embedding_size = 256;
  void fields(Fields& f) {
    f.integer("mel_n_channels", mel_n_channels, {1, 1 << 14});
    f.integer("model_hidden_size", model_hidden_size, {1, 1 << 14});
    f.integer("model_num_layers", model_num_layers, {1, 64});
    f.integer("model_embedding_size", model_embedding_size, {1, 1 << 14});
  }
};

class VoiceEncoder : public Network {
 public:
  explicit VoiceEncoder(VoiceSpec spec)
      : spec_(spec),
        lstm_(Cell::Lstm, spec.mel_n_channels, spec.model_hidden_size, {.layers = spec.model_num_layers}),
        linear_(spec.model_hidden_size, spec.model_embedding_size) {
    children({{"lstm", lstm_}, {"linear", linear_}});
  }

  Result forward(const std::vector<at::Tensor>& inputs) override {
    const at::Tensor raw = activate(linear_(lstm_(inputs.at(0)).hidden.select(0, -1)), Activation::Relu);
    return raw.div(at::linalg_vector_norm(raw, 2, at::OptionalIntArrayRef{1}, true));
  }

  std::vector<Example> examples() const override {
    return {{"mels", {batch(), sequence(), spec_.mel_n_channels}}};
  }

 private:
  VoiceSpec spec_;
  Recurrent lstm_;
  Linear linear_;
};

/// The file of the detector at 8 kHz has half of every length.
std::string guess_silero(const Shapes& shapes) {
  SileroSpec s;
  s.filter_length = shapes.dim("stft_conv.weight", 2);
  s.hop_length = s.filter_length / 2;
  s.context_size = s.filter_length / 4;
  s.window_size = 2 * s.filter_length;
  for (std::size_t i = 0; i < s.channels.size(); ++i)
    s.channels[i] = shapes.dim("conv" + std::to_string(i + 1) + ".weight", 0);
  s.hidden_size = shapes.dim("lstm_cell.weight_hh", 1);
  return spec_to_json(s);
}

std::string guess_voice(const Shapes& shapes) {
  VoiceSpec s;
  s.mel_n_channels = shapes.dim("lstm.weight_ih_l0", 1);
  s.model_hidden_size = shapes.dim("lstm.weight_hh_l0", 1);
  s.model_num_layers = shapes.count("lstm.weight_ih_l", "");
  s.model_embedding_size = shapes.dim("linear.weight", 0);
  return spec_to_json(s);
}

}  // namespace

Family silero_vad() {
  Family f = make_family<SileroSpec, SileroVad>("silero_vad", "silero's voice activity detector");
  f.published = {{"silero-vad-16k", "{}", 309'633 - 258 * 256}};  // the spectrum's filters are not trained
  f.small_specs = {
      R"({"context_size":8,"window_size":64,"filter_length":32,"hop_length":16,"channels":[12,8,8,12],"hidden_size":10})"};
  f.spec_from_shapes = guess_silero;
  return f;
}

Family voice_encoder() {
  Family f = make_family<VoiceSpec, VoiceEncoder>("voice_encoder", "Resemblyzer's speaker encoder");
  f.published = {{"resemblyzer", "{}", 1'423'616}};
  f.small_specs = {
      R"({"mel_n_channels":6,"model_hidden_size":10,"model_num_layers":2,"model_embedding_size":8})"};
  f.spec_from_shapes = guess_voice;
  f.ignored = {"similarity_weight", "similarity_bias"};
  return f;
}

}  // namespace pollard::models
