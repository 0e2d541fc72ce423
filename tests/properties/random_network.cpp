// SPDX-License-Identifier: Apache-2.0
#include "tests/properties/random_network.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include "models/capture.h"
#include "models/meta_kernels.h"

namespace pollard::properties {
namespace {

bool is_image(const at::Tensor& x) { return x.dim() == 4; }
bool is_sequence(const at::Tensor& x) { return x.dim() == 3; }
bool has_features(const at::Tensor& x) { return x.dim() == 2 || x.dim() == 3; }
std::int64_t feature_dim(const at::Tensor& x) { return is_image(x) ? 1 : x.dim() - 1; }

}  // namespace

RandomNetwork::RandomNetwork(std::uint64_t seed) : random_(seed) {
  const models::MetaKernels meta;
  const std::int64_t kind = pick(0, 2), width = 2 * pick(2, 6);
  if (kind == 0)
    examples_ = {{"x", {models::batch(), pick(1, 4), 8, 8}}};
  else if (kind == 1)
    examples_ = {{"x", {models::batch(), 5, width}}};
  else
    examples_ = {{"x", {models::batch(), width}}};
  std::vector<std::int64_t> shape;
  for (const models::Dim& dim : examples_[0].shape) shape.push_back(dim.size);
  values_ = {at::empty(shape, at::TensorOptions().device(at::kMeta))};
  steps_ = {{"input", {}}};

  // The first layer decouples everything from the input, whose sizes are the caller's.
  is_image(values_[0]) ? add_convolution() : add_linear();
  for (std::int64_t wanted = pick(4, 16), tries = 0; wanted > 0 && tries < 200; ++tries)
    if (add_random()) --wanted;
  if (is_image(values_.back())) add_flatten();
  while (!add_linear()) {}
}

std::int64_t RandomNetwork::pick(std::int64_t low, std::int64_t high) {
  return low + static_cast<std::int64_t>(random_() % static_cast<std::uint64_t>(high - low + 1));
}

std::size_t RandomNetwork::any_value(const std::function<bool(const at::Tensor&)>& fits) {
  std::vector<std::size_t> found;
  for (std::size_t v = 1; v < values_.size(); ++v)
    if (fits(values_[v])) found.push_back(v);
  if (found.empty()) return values_.size();
  // Late values more often, so that networks become deep.
  const auto at = std::max(pick(0, static_cast<std::int64_t>(found.size()) - 1),
                           pick(0, static_cast<std::int64_t>(found.size()) - 1));
  return found[static_cast<std::size_t>(at)];
}

at::Tensor* RandomNetwork::weight(std::vector<std::int64_t> shape, bool reuse) {
  if (reuse && pick(0, 3) == 0)
    for (at::Tensor& known : parameters_)
      if (known.sizes() == at::IntArrayRef(shape)) return &known;
  at::Tensor& tensor = parameters_.emplace_back();
  parameter("p" + std::to_string(parameters_.size()), tensor, shape, models::Init::normal(1));
  return &tensor;
}

bool RandomNetwork::add(const std::string& name, Step step) {
  values_.push_back(step(values_));
  steps_.push_back({name, std::move(step)});
  return true;
}

bool RandomNetwork::add_random() {
  using Add = bool (RandomNetwork::*)();
  constexpr Add kinds[] = {
      &RandomNetwork::add_pointwise,     &RandomNetwork::add_linear,      &RandomNetwork::add_norm,
      &RandomNetwork::add_residual,      &RandomNetwork::add_gate,        &RandomNetwork::add_concatenation,
      &RandomNetwork::add_slice,         &RandomNetwork::add_attention,   &RandomNetwork::add_recurrent,
      &RandomNetwork::add_mean,          &RandomNetwork::add_transpose,   &RandomNetwork::add_convolution,
      &RandomNetwork::add_pool,          &RandomNetwork::add_shuffle,     &RandomNetwork::add_flatten,
      &RandomNetwork::add_tokens,        &RandomNetwork::add_convolution, &RandomNetwork::add_linear,
      &RandomNetwork::add_residual,      &RandomNetwork::add_split,       &RandomNetwork::add_rms_norm,
      &RandomNetwork::add_table,         &RandomNetwork::add_layer_scale, &RandomNetwork::add_context,
      &RandomNetwork::add_excitation,    &RandomNetwork::add_stack,       &RandomNetwork::add_product,
      &RandomNetwork::add_grouped_query, &RandomNetwork::add_padding,     &RandomNetwork::add_halves,
      &RandomNetwork::add_softmax,
  };
  return (this->*kinds[static_cast<std::size_t>(pick(0, std::ssize(kinds) - 1))])();
}

bool RandomNetwork::add_pointwise() {
  const std::size_t v = any_value([](const at::Tensor&) { return true; });
  if (v == values_.size()) return false;
  switch (pick(0, 5)) {
    case 0: return add("relu", [v](const Values& x) { return at::relu(x[v]); });
    case 1: return add("gelu", [v](const Values& x) { return at::gelu(x[v]); });
    case 2: return add("sigmoid", [v](const Values& x) { return at::sigmoid(x[v]); });
    case 3: return add("tanh", [v](const Values& x) { return at::tanh(x[v]); });
    case 4: return add("silu", [v](const Values& x) { return at::silu(x[v]); });
    default: return add("scale", [v](const Values& x) { return x[v].mul(0.5).add(1); });
  }
}

bool RandomNetwork::add_linear() {
  const bool first = values_.size() == 1;
  const std::size_t v = first ? 0 : any_value(has_features);
  if (v == values_.size()) return false;
  const std::int64_t in = values_[v].size(-1), out = 2 * pick(2, 8);
  const at::Tensor* w = weight({out, in}, true);
  const at::Tensor* b = pick(0, 1) ? weight({out}) : nullptr;
  return add("linear", [v, w, b](const Values& x) {
    return at::linear(x[v], *w, b ? std::optional(*b) : std::nullopt);
  });
}

bool RandomNetwork::add_norm() {
  const std::size_t v = any_value([](const at::Tensor&) { return true; });
  if (v == values_.size()) return false;
  const std::int64_t channels = is_image(values_[v]) ? values_[v].size(1) : values_[v].size(-1);
  const at::Tensor *w = weight({channels}), *b = weight({channels});
  if (!is_image(values_[v]))
    return add("layer_norm", [v, w, b, channels](const Values& x) {
      return at::layer_norm(x[v], {channels}, *w, *b, 1e-5, false);
    });
  if (pick(0, 1) && channels % 2 == 0)
    return add("group_norm",
               [v, w, b](const Values& x) { return at::group_norm(x[v], 2, *w, *b, 1e-5, false); });
  const at::Tensor *mean = weight({channels}), *variance = weight({channels});
  return add("batch_norm", [v, w, b, mean, variance](const Values& x) {
    return at::batch_norm(x[v], *w, *b, *mean, variance->abs().add(0.5), false, 0.1, 1e-5, false);
  });
}

bool RandomNetwork::add_residual() {
  const std::size_t a = any_value([](const at::Tensor&) { return true; });
  if (a == values_.size()) return false;
  const std::size_t b = any_value([&](const at::Tensor& x) { return x.sizes() == values_[a].sizes(); });
  return add("add", [a, b](const Values& x) { return x[a].add(x[b]); });
}

bool RandomNetwork::add_gate() {
  const std::size_t a = any_value([](const at::Tensor&) { return true; });
  if (a == values_.size()) return false;
  const std::size_t b = any_value([&](const at::Tensor& x) { return x.sizes() == values_[a].sizes(); });
  return add("gate", [a, b](const Values& x) { return x[a].mul(at::sigmoid(x[b])); });
}

bool RandomNetwork::add_concatenation() {
  const std::size_t a = any_value([](const at::Tensor&) { return true; });
  if (a == values_.size()) return false;
  const std::int64_t dim = is_image(values_[a]) ? 1 : values_[a].dim() - 1;
  const std::size_t b = any_value([&](const at::Tensor& x) {
    if (x.dim() != values_[a].dim()) return false;
    for (std::int64_t d = 0; d < x.dim(); ++d)
      if (d != dim && x.size(d) != values_[a].size(d)) return false;
    return x.size(dim) + values_[a].size(dim) <= 40;
  });
  if (b == values_.size()) return false;
  return add("cat", [a, b, dim](const Values& x) { return at::cat({x[a], x[b]}, dim); });
}

bool RandomNetwork::add_slice() {
  const std::size_t v = any_value([](const at::Tensor& x) { return x.size(x.dim() == 4 ? 1 : -1) >= 4; });
  if (v == values_.size()) return false;
  const std::int64_t dim = is_image(values_[v]) ? 1 : values_[v].dim() - 1, size = values_[v].size(dim);
  if (size % 2 == 0 && pick(0, 1))
    return add("glu by chunks", [v, dim](const Values& x) {
      const auto halves = x[v].chunk(2, dim);
      return halves[0].mul(at::sigmoid(halves[1]));
    });
  const std::int64_t begin = pick(0, size - 3), end = pick(begin + 2, size);
  return add("slice", [v, dim, begin, end](const Values& x) { return x[v].slice(dim, begin, end); });
}

bool RandomNetwork::add_attention() {
  const std::size_t v = any_value(is_sequence);
  if (v == values_.size()) return false;
  const std::int64_t in = values_[v].size(-1), heads = pick(1, 3), width = heads * pick(2, 4);
  const at::Tensor *qkv = weight({3 * width, in}), *out = weight({in, width});
  return add("attention", [=](const Values& x) {
    const std::int64_t b = x[v].size(0), t = x[v].size(1);
    const auto parts =
        at::linear(x[v], *qkv).view({b, t, 3, heads, width / heads}).permute({2, 0, 3, 1, 4}).unbind(0);
    const at::Tensor y = at::scaled_dot_product_attention(parts[0], parts[1], parts[2]);
    return at::linear(y.transpose(1, 2).reshape({b, t, width}), *out);
  });
}

bool RandomNetwork::add_recurrent() {
  const std::size_t v = any_value(is_sequence);
  if (v == values_.size()) return false;
  const std::int64_t in = values_[v].size(-1), hidden = pick(2, 6), both = pick(0, 1), lstm = pick(0, 1);
  std::vector<const at::Tensor*> weights;
  for (std::int64_t direction = 0; direction <= both; ++direction)
    for (const auto& shape : {std::vector{(3 + lstm) * hidden, in}, std::vector{(3 + lstm) * hidden, hidden},
                              std::vector{(3 + lstm) * hidden}, std::vector{(3 + lstm) * hidden}})
      weights.push_back(weight(shape));
  return add(lstm ? "lstm" : "gru", [=](const Values& x) {
    std::vector<at::Tensor> w;
    for (const at::Tensor* tensor : weights) w.push_back(*tensor);
    const at::Tensor zeros = at::zeros({1 + both, x[v].size(0), hidden}, x[v].options());
    if (lstm) return std::get<0>(at::lstm(x[v], {zeros, zeros}, w, true, 1, 0, false, both == 1, true));
    return std::get<0>(at::gru(x[v], zeros, w, true, 1, 0, false, both == 1, true));
  });
}

bool RandomNetwork::add_mean() {
  const std::size_t v = any_value(is_sequence);
  if (v == values_.size()) return false;
  return pick(0, 1) ? add("mean", [v](const Values& x) { return x[v].mean({1}); })
                    : add("last", [v](const Values& x) { return x[v].select(1, -1); });
}

bool RandomNetwork::add_transpose() {
  const std::size_t v = any_value(is_sequence);
  if (v == values_.size() || values_[v].size(-1) > 16) return false;
  return add("transpose", [v](const Values& x) { return x[v].transpose(1, 2); });
}

bool RandomNetwork::add_convolution() {
  const bool first = values_.size() == 1;
  const std::size_t v = first ? 0 : any_value(is_image);
  if (v == values_.size() || !is_image(values_[v])) return false;
  const std::int64_t in = values_[v].size(1), out = 2 * pick(2, 6), kernel = 2 * pick(0, 1) + 1;
  const std::int64_t groups = first || in % 2                    ? 1
                              : pick(0, 2) == 0                  ? 2
                              : pick(0, 3) == 0 && out % in == 0 ? in
                                                                 : 1;
  if (!first && pick(0, 5) == 0) {
    const at::Tensor* w = weight({in, out, 1, 1});
    return add("conv_transpose", [=](const Values& x) { return at::conv_transpose2d(x[v], *w); });
  }
  const at::Tensor* w = weight({out, in / groups, kernel, kernel}, true);
  const at::Tensor* b = pick(0, 1) ? weight({out}) : nullptr;
  return add("conv groups " + std::to_string(groups), [=](const Values& x) {
    return at::conv2d(x[v], *w, b ? std::optional(*b) : std::nullopt, 1, kernel / 2, 1, groups);
  });
}

bool RandomNetwork::add_pool() {
  const std::size_t v = any_value([](const at::Tensor& x) { return is_image(x) && x.size(2) >= 4; });
  if (v == values_.size()) return false;
  return pick(0, 1) ? add("max_pool", [v](const Values& x) { return at::max_pool2d(x[v], 2); })
                    : add("avg_pool", [v](const Values& x) { return at::avg_pool2d(x[v], 2); });
}

bool RandomNetwork::add_shuffle() {
  const std::size_t v = any_value([](const at::Tensor& x) { return is_image(x) && x.size(1) % 4 == 0; });
  if (v == values_.size()) return false;
  const std::int64_t c = values_[v].size(1), h = values_[v].size(2), w = values_[v].size(3);
  if (pick(0, 1) && h <= 4)
    return add("pixel_shuffle", [v](const Values& x) { return at::pixel_shuffle(x[v], 2); });
  return add("channel_shuffle", [=](const Values& x) {
    const std::int64_t b = x[v].size(0);
    return x[v].view({b, 2, c / 2, h, w}).transpose(1, 2).reshape({b, c, h, w});
  });
}

bool RandomNetwork::add_flatten() {
  const std::size_t v = any_value(is_image);
  if (v == values_.size()) return false;
  if (pick(0, 1) && values_[v][0].numel() <= 256)
    return add("flatten", [v](const Values& x) { return x[v].flatten(1); });
  return add("pool and flatten", [v](const Values& x) {
    return at::adaptive_avg_pool2d(x[v], {1, 1}).flatten(1);
  });
}

bool RandomNetwork::add_tokens() {
  const std::size_t v = any_value([](const at::Tensor& x) { return is_image(x) && x.size(2) <= 4; });
  if (v == values_.size()) return false;
  return add("tokens", [v](const Values& x) { return x[v].flatten(2).transpose(1, 2); });
}

bool RandomNetwork::add_split() {
  const std::size_t v = any_value([](const at::Tensor& x) { return x.size(x.dim() == 4 ? 1 : -1) >= 5; });
  if (v == values_.size()) return false;
  const std::int64_t dim = feature_dim(values_[v]), size = values_[v].size(dim), first = pick(2, size - 2);
  return add("split and join the other way round", [=](const Values& x) {
    const auto parts = x[v].split_with_sizes({first, size - first}, dim);
    return at::cat({at::relu(parts[1]), parts[0]}, dim);
  });
}

bool RandomNetwork::add_rms_norm() {
  const std::size_t v = any_value(has_features);
  if (v == values_.size()) return false;
  const at::Tensor* w = weight({values_[v].size(-1)});
  return add("rms_norm", [v, w](const Values& x) {
    return x[v].mul(at::rsqrt(x[v].pow(2).mean({-1}, true).add(1e-5))).mul(*w);
  });
}

bool RandomNetwork::add_table() {
  const std::size_t v = any_value(is_sequence);
  if (v == values_.size()) return false;
  const at::Tensor* w = weight({values_[v].size(1), values_[v].size(2)}, true);
  return add("add a table of positions", [v, w](const Values& x) { return x[v].add(*w); });
}

bool RandomNetwork::add_layer_scale() {
  const std::size_t v = any_value([](const at::Tensor&) { return true; });
  if (v == values_.size()) return false;
  const std::int64_t size = values_[v].size(feature_dim(values_[v]));
  const at::Tensor* w = is_image(values_[v]) ? weight({size, 1, 1}) : weight({size}, true);
  return pick(0, 1) ? add("scale by a parameter", [v, w](const Values& x) { return x[v].mul(*w); })
                    : add("shift by a parameter", [v, w](const Values& x) { return x[v].sub(*w); });
}

bool RandomNetwork::add_context() {
  const std::size_t v = any_value(is_sequence);
  if (v == values_.size()) return false;
  return add("add the mean token to all", [v](const Values& x) {
    return x[v].add(x[v].mean({1}, true).expand({x[v].size(0), x[v].size(1), x[v].size(2)}));
  });
}

bool RandomNetwork::add_excitation() {
  const std::size_t v = any_value(is_image);
  if (v == values_.size()) return false;
  const std::int64_t size = values_[v].size(1), inner = pick(2, 4);
  const at::Tensor *down = weight({inner, size}), *up = weight({size, inner});
  return add("squeeze and excitation", [=](const Values& x) {
    const at::Tensor pooled = x[v].mean({2, 3});
    const at::Tensor gate = at::sigmoid(at::linear(at::relu(at::linear(pooled, *down)), *up));
    return x[v].mul(gate.unsqueeze(2).unsqueeze(3));
  });
}

bool RandomNetwork::add_stack() {
  const std::size_t a = any_value([](const at::Tensor&) { return true; });
  if (a == values_.size()) return false;
  const std::size_t b = any_value([&](const at::Tensor& x) { return x.sizes() == values_[a].sizes(); });
  return pick(0, 1) ? add("stack and sum",
                          [a, b](const Values& x) {
                            return at::stack({x[a], x[b]}).sum({0});
                          })
                    : add("largest of two", [a, b](const Values& x) { return at::maximum(x[a], x[b]); });
}

bool RandomNetwork::add_product() {
  const std::size_t v = any_value(has_features);
  if (v == values_.size()) return false;
  const at::Tensor* w = weight({values_[v].size(-1), 2 * pick(2, 6)}, true);
  return pick(0, 1) ? add("matmul", [v, w](const Values& x) { return x[v].matmul(*w); })
                    : add("einsum", [v, w](const Values& x) {
                        return at::einsum("...i,io->...o", {x[v], *w});
                      });
}

bool RandomNetwork::add_grouped_query() {
  const std::size_t v = any_value(is_sequence);
  if (v == values_.size()) return false;
  const std::int64_t in = values_[v].size(-1), pairs = pick(1, 2), share = pick(1, 3), d = pick(2, 4);
  const at::Tensor *q = weight({pairs * share * d, in}), *k = weight({pairs * d, in}),
                   *y = weight({pairs * d, in}), *out = weight({in, pairs * share * d});
  return add("grouped-query attention", [=](const Values& x) {
    const std::int64_t b = x[v].size(0), t = x[v].size(1);
    const at::Tensor queries = at::linear(x[v], *q).view({b, t, pairs * share, d}).transpose(1, 2);
    const auto shared = [&](const at::Tensor& w) {
      return at::linear(x[v], w).view({b, t, pairs, d}).transpose(1, 2).repeat_interleave(share, 1);
    };
    const at::Tensor scores = queries.matmul(shared(*k).transpose(2, 3)).mul(0.5).softmax(-1);
    return at::linear(scores.matmul(shared(*y)).transpose(1, 2).reshape({b, t, pairs * share * d}), *out);
  });
}

bool RandomNetwork::add_padding() {
  const std::size_t v = any_value([](const at::Tensor& x) { return x.size(x.dim() == 4 ? 1 : -1) <= 12; });
  if (v == values_.size()) return false;
  const bool image = is_image(values_[v]);
  const std::int64_t more = pick(1, 3);
  return add("pad with zeros", [=](const Values& x) {
    return image ? at::constant_pad_nd(x[v], {0, 0, 0, 0, 0, more}) : at::constant_pad_nd(x[v], {more, 0});
  });
}

bool RandomNetwork::add_halves() {
  const std::size_t v = any_value([](const at::Tensor& x) { return has_features(x) && x.size(-1) % 2 == 0; });
  if (v == values_.size()) return false;
  const std::int64_t half = values_[v].size(-1) / 2;
  return add("turn the halves", [v, half](const Values& x) {
    const at::Tensor turned = at::cat({x[v].slice(-1, half).neg(), x[v].slice(-1, 0, half)}, -1);
    return x[v].mul(0.6).add(turned.mul(0.8));
  });
}

bool RandomNetwork::add_softmax() {
  const std::size_t v = any_value(has_features);
  if (v == values_.size()) return false;
  return add("softmax", [v](const Values& x) { return x[v].softmax(-1); });
}

models::Result RandomNetwork::forward(const std::vector<at::Tensor>& inputs) {
  Values values{inputs.at(0)};
  for (std::size_t s = 1; s < steps_.size(); ++s) values.push_back(steps_[s].step(values));
  return values.back();
}

std::vector<models::Example> RandomNetwork::examples() const { return examples_; }

std::string RandomNetwork::text() const {
  std::string out;
  for (std::size_t s = 0; s < steps_.size(); ++s)
    out += steps_[s].name + " -> " + std::string(c10::str(values_[s].sizes())) + "\n";
  return out;
}

models::Model random_model(std::uint64_t seed) {
  RandomNetwork network(seed);
  network.initialise(at::make_generator<at::CPUGeneratorImpl>(seed));
  models::Captured captured = models::capture(network);
  models::Model model;
  model.program = std::move(captured.program);
  model.weights = std::move(captured.weights);
  return model;
}

}  // namespace pollard::properties
