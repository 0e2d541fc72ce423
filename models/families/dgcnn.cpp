// SPDX-License-Identifier: Apache-2.0
#include "models/families/dgcnn.h"

#include <ATen/ops/amax.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/dropout.h>
#include <ATen/ops/leaky_relu.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/topk.h>

#include "models/layers/conv.h"
#include "models/layers/norm.h"

namespace pollard::models {
namespace {

struct DgcnnSpec {
  std::int64_t k = 20, emb_dims = 1024, output_channels = 40;
  double dropout = 0.5;
  std::string layout = "official";
  /// Channels of the four EdgeConvs and of the two hidden layers of the head: both may have been pruned.
  std::vector<std::int64_t> widths{64, 64, 128, 256}, hidden{512, 256};

  void fields(Fields& f) {
    f.integer("k", k, {1, 4096});
    f.integer("emb_dims", emb_dims, {1, 1 << 16});
    f.integer("output_channels", output_channels);
    f.real("dropout", dropout);
    f.text("layout", layout, {"official", "torch-pruning"});
    f.integers("widths", widths, {1, 1 << 16}, 4);
    f.integers("hidden", hidden, {1, 1 << 16}, 2);
    f.require(widths.size() == 4 && hidden.size() == 2, "four widths and two hidden sizes");
  }
};

at::Tensor leaky(const at::Tensor& x) { return at::leaky_relu(x, 0.2); }

/// The k points nearest to each point of x [B, C, N], itself included: [B, N, k]. Distances by the Gram matrix, in the
/// reference's order of operations, since a tie at rank k is decided by rounding.
at::Tensor nearest(const at::Tensor& x, std::int64_t k) {
  const at::Tensor squares = x.square().sum({1}, true);
  const at::Tensor closeness =
      at::matmul(x.transpose(1, 2), x).mul(2).sub(squares).sub(squares.transpose(1, 2));
  return std::get<1>(at::topk(closeness, k, -1));
}

/// [x_j - x_i ; x_i] of x [B, C, N] for the k neighbours j of each i: [B, 2C, N, k].
at::Tensor edge_features(const at::Tensor& x, std::int64_t k) {
  const std::int64_t batch = x.size(0), channels = x.size(1), points = x.size(2);
  const at::Tensor index =
      nearest(x, k).reshape({batch, 1, points * k}).expand({batch, channels, points * k});
  const at::Tensor neighbours = x.gather(2, index).view({batch, channels, points, k});
  const at::Tensor centre = x.unsqueeze(3).expand({batch, channels, points, k});
  return at::cat({neighbours.sub(centre), centre}, 1);
}

/// A convolution of kernel 1 and its norm; the conv layers' children "0" and "1".
template <std::size_t N>
struct ConvNorm : Module {
  Conv<N> conv;
  BatchNorm norm;
  ConvNorm(std::int64_t in, std::int64_t out) : conv(in, out, 1, {.bias = Bias::No}), norm(out) {
    children({{"0", conv}, {"1", norm}});
  }
  at::Tensor operator()(const at::Tensor& x) const { return leaky(norm(conv(x))); }
};

class Dgcnn : public Network {
 public:
  explicit Dgcnn(const DgcnnSpec& spec)
      : spec_(spec),
        conv1_(2 * 3, spec.widths[0]),
        conv2_(2 * spec.widths[0], spec.widths[1]),
        conv3_(2 * spec.widths[1], spec.widths[2]),
        conv4_(2 * spec.widths[2], spec.widths[3]),
        conv5_(spec.widths[0] + spec.widths[1] + spec.widths[2] + spec.widths[3], spec.emb_dims),
        linear1_(2 * spec.emb_dims, spec.hidden[0], Bias::No),
        linear2_(spec.hidden[0], spec.hidden[1]),
        linear3_(spec.hidden[1], spec.output_channels),
        bn6_(spec.hidden[0]),
        bn7_(spec.hidden[1]) {
    if (spec.layout == "official")
      children({{"bn1", conv1_.norm},
                {"bn2", conv2_.norm},
                {"bn3", conv3_.norm},
                {"bn4", conv4_.norm},
                {"bn5", conv5_.norm}});
    children({{"conv1", conv1_},
              {"conv2", conv2_},
              {"conv3", conv3_},
              {"conv4", conv4_},
              {"conv5", conv5_},
              {"linear1", linear1_},
              {"bn6", bn6_},
              {"linear2", linear2_},
              {"bn7", bn7_},
              {"linear3", linear3_}});
  }

  Result forward(const std::vector<at::Tensor>& inputs) override {
    at::Tensor x = inputs.at(0);
    std::vector<at::Tensor> levels;
    for (const ConvNorm<2>* conv : {&conv1_, &conv2_, &conv3_, &conv4_}) {
      x = at::amax((*conv)(edge_features(x, spec_.k)), -1);
      levels.push_back(x);
      tap("x" + std::to_string(levels.size()), x);
    }
    const at::Tensor y = conv5_(at::cat(levels, 1));
    const at::Tensor pooled = at::cat({at::amax(y, -1), y.mean(-1)}, 1);
    tap("pooled", pooled);
    const at::Tensor first = dropped(leaky(bn6_(linear1_(pooled))));
    return linear3_(dropped(leaky(bn7_(linear2_(first)))));
  }

  std::vector<Example> examples() const override {
    return {{"x", {batch(), 3, Dim(spec_.k + 12, "points", spec_.k, std::nullopt)}}};
  }

 private:
  at::Tensor dropped(const at::Tensor& x) const { return at::dropout(x, spec_.dropout, training()); }

  DgcnnSpec spec_;
  ConvNorm<2> conv1_, conv2_, conv3_, conv4_;
  ConvNorm<1> conv5_;
  Linear linear1_, linear2_, linear3_;
  BatchNorm bn6_, bn7_;
};

/// The number of neighbours does not show: 20 is assumed.
std::string guess(const Shapes& shapes) {
  DgcnnSpec s;
  for (std::size_t i = 0; i < s.widths.size(); ++i)
    s.widths[i] = shapes.dim("conv" + std::to_string(i + 1) + ".0.weight", 0);
  s.emb_dims = shapes.dim("conv5.0.weight", 0);
  s.hidden = {shapes.dim("linear1.weight", 0), shapes.dim("linear2.weight", 0)};
  s.output_channels = shapes.dim("linear3.weight", 0);
  s.layout = shapes.has("bn1.weight") ? "official" : "torch-pruning";
  return spec_to_json(s);
}

}  // namespace

Family dgcnn() {
  Family f = make_family<DgcnnSpec, Dgcnn>("dgcnn", "DGCNN point-cloud classifiers");
  f.published = {{"dgcnn-modelnet40", "{}", 1'809'576},
                 {"dgcnn-modelnet40-2048", R"({"k":40})", 1'809'576},
                 {"dgcnn-depgraph", R"({"layout":"torch-pruning"})", 1'809'576}};
  f.small_specs = {
      R"({"k":4,"emb_dims":16,"output_channels":5,"widths":[8,8,12,16],"hidden":[16,8]})",
      R"({"k":3,"emb_dims":8,"output_channels":3,"widths":[4,6,8,8],"hidden":[8,6],"layout":"torch-pruning"})"};
  f.golden_archs = {"dgcnn_cls"};
  f.spec_from_shapes = guess;
  return f;
}

}  // namespace pollard::models
