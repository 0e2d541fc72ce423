// SPDX-License-Identifier: Apache-2.0
#include "models/families/gat.h"

#include <ATen/ops/elu.h>

#include "models/layers/graph_attention.h"
#include "models/layers/linear.h"

namespace pollard::models {
namespace {

/// Glorot for matrices and attention vectors, 0 for biases of attention layers.
std::optional<Init> gat_init(const std::string& key, at::IntArrayRef shape) {
  if (key.starts_with("lin")) return std::nullopt;
  return shape.size() > 1 ? Init::xavier_uniform() : Init::zeros();
}

/// Heads side by side, or their mean.
at::Tensor join_heads(const at::Tensor& x, bool concat) {
  return concat ? x.reshape({x.size(0), x.size(1) * x.size(2)}) : x.mean(1);
}

struct PygSpec {
  std::int64_t in_channels = 50, hidden = 256, out_channels = 121;
  std::vector<std::int64_t> heads{4, 4, 6};
  std::vector<std::int64_t> head_sizes;  // of each layer but the last: `hidden`, unless pruned

  void fields(Fields& f) {
    f.integer("in_channels", in_channels, {1, 1 << 20});
    f.integer("hidden", hidden, {1, 1 << 16});
    f.integer("out_channels", out_channels);
    f.integers("heads", heads, {1, 1024}, 64);
    f.integers("head_sizes", head_sizes, {1, 1 << 16}, 64);
    f.require(!heads.empty(), "one number of heads a layer");
    if (head_sizes.empty() && !heads.empty()) head_sizes.assign(heads.size() - 1, hidden);
    f.require(head_sizes.size() + 1 == heads.size(), "one head size for each layer but the last");
  }
  bool last(std::size_t i) const { return i + 1 == heads.size(); }
  std::int64_t head_size(std::size_t i) const { return last(i) ? out_channels : head_sizes[i]; }
  std::int64_t width(std::size_t i) const { return last(i) ? out_channels : heads[i] * head_sizes[i]; }
};

struct GatConv : Module {
  at::Tensor att_src, att_dst, bias;
  Linear lin;
  std::int64_t heads, head_size;
  bool concat;
  GatConv(std::int64_t in, const PygSpec& s, std::size_t i)
      : lin(in, s.heads[i] * s.head_size(i), Bias::No),
        heads(s.heads[i]),
        head_size(s.head_size(i)),
        concat(!s.last(i)) {
    parameter("att_src", att_src, {1, heads, head_size});
    parameter("att_dst", att_dst, {1, heads, head_size});
    parameter("bias", bias, {s.width(i)});
    child("lin", lin);
  }
  at::Tensor operator()(const at::Tensor& x, const Edges& edges) const {
    const at::Tensor z = lin(x).view({x.size(0), heads, head_size});
    return join_heads(graph_attention(z, att_src, att_dst, edges, SelfLoops::One), concat).add(bias);
  }
};

class GatPyg : public Network {
 public:
  explicit GatPyg(PygSpec spec) : spec_(std::move(spec)) {
    std::int64_t in = spec_.in_channels;
    for (std::size_t i = 0; i < spec_.heads.size(); ++i) {
      const std::string number = std::to_string(i + 1);
      child("conv" + number, convs_.emplace(in, spec_, i));
      child("lin" + number, linears_.emplace(in, spec_.width(i)));
      in = spec_.width(i);
    }
    set_init(gat_init);
  }
  Result forward(const std::vector<at::Tensor>& inputs) override {
    const Edges edges = edges_of(inputs.at(1));
    at::Tensor x = inputs.at(0);
    for (std::size_t i = 0; i < convs_.size(); ++i) {
      x = convs_[i](x, edges).add(linears_[i](x));
      if (!spec_.last(i)) x = at::elu(x);
      tap("after layer " + std::to_string(i + 1), x);
    }
    return x;
  }
  std::vector<Example> examples() const override { return graph_examples(spec_.in_channels); }

 private:
  PygSpec spec_;
  ModuleList<GatConv> convs_;
  ModuleList<Linear> linears_;
};

struct DepGraphSpec {
  std::vector<std::int64_t> num_features_per_layer{50, 256, 256, 121}, num_heads_per_layer{4, 4, 6};
  bool add_skip_connection = true, bias = true;

  void fields(Fields& f) {
    f.integers("num_features_per_layer", num_features_per_layer, {1, 1 << 20}, 65);
    f.integers("num_heads_per_layer", num_heads_per_layer, {1, 1024}, 64);
    f.flag("add_skip_connection", add_skip_connection);
    f.flag("bias", bias);
    f.require(!num_heads_per_layer.empty() && num_features_per_layer.size() == num_heads_per_layer.size() + 1,
              "one more number of features than of heads");
  }
  std::int64_t heads(std::size_t i) const { return num_heads_per_layer[i]; }
  std::int64_t head_size(std::size_t i) const { return num_features_per_layer[i + 1]; }
  std::int64_t in(std::size_t i) const { return num_features_per_layer[i] * (i == 0 ? 1 : heads(i - 1)); }
  bool last(std::size_t i) const { return i + 1 == num_heads_per_layer.size(); }
};

struct GatLayer : Module {
  at::Tensor scoring_fn_target, scoring_fn_source, bias;
  Linear linear_proj;
  std::optional<Linear> skip_proj;
  std::int64_t heads, head_size;
  bool concat, input_as_skip;
  GatLayer(const DepGraphSpec& s, std::size_t i)
      : linear_proj(s.in(i), s.heads(i) * s.head_size(i), Bias::No),
        heads(s.heads(i)),
        head_size(s.head_size(i)),
        concat(!s.last(i)),
        input_as_skip(s.in(i) == s.head_size(i)) {
    parameter("scoring_fn_target", scoring_fn_target, {1, heads, head_size});
    parameter("scoring_fn_source", scoring_fn_source, {1, heads, head_size});
    if (s.bias) parameter("bias", bias, {concat ? heads * head_size : head_size});
    child("linear_proj", linear_proj);
    if (s.add_skip_connection) child("skip_proj", skip_proj.emplace(s.in(i), heads * head_size, Bias::No));
  }
  at::Tensor operator()(const at::Tensor& x, const Edges& edges) const {
    const at::Tensor z = by_head(linear_proj(x));
    at::Tensor out = graph_attention(z, scoring_fn_source, scoring_fn_target, edges, SelfLoops::AsGiven);
    if (skip_proj) out = out.add(input_as_skip ? x.unsqueeze(1) : by_head((*skip_proj)(x)));
    out = join_heads(out, concat);
    if (bias.defined()) out = out.add(bias);
    return concat ? at::elu(out) : out;
  }

 private:
  at::Tensor by_head(const at::Tensor& x) const { return x.view({x.size(0), heads, head_size}); }
};

class GatDepGraph : public Network {
 public:
  explicit GatDepGraph(DepGraphSpec spec) : spec_(std::move(spec)) {
    while (layers_.size() < spec_.num_heads_per_layer.size()) layers_.emplace(spec_, layers_.size());
    child("gat_net", layers_);
    set_init(gat_init);
  }
  Result forward(const std::vector<at::Tensor>& inputs) override {
    const Edges edges = edges_of(inputs.at(1));
    at::Tensor x = inputs.at(0);
    for (const auto& layer : layers_) x = (*layer)(x, edges);
    return x;
  }
  std::vector<Example> examples() const override { return graph_examples(spec_.in(0)); }

 private:
  DepGraphSpec spec_;
  ModuleList<GatLayer> layers_;
};

std::string guess_pyg(const Shapes& shapes) {
  PygSpec s;
  s.heads.clear();
  s.in_channels = shapes.dim("conv1.lin.weight", 1);
  for (std::string conv = "conv1"; shapes.has(conv + ".att_src");
       conv = "conv" + std::to_string(s.heads.size() + 1)) {
    s.heads.push_back(shapes.dim(conv + ".att_src", 1));
    s.head_sizes.push_back(shapes.dim(conv + ".att_src", 2));
  }
  if (s.head_sizes.empty()) throw Shapes::Missing();
  s.out_channels = s.head_sizes.back();
  s.head_sizes.pop_back();
  if (!s.head_sizes.empty()) s.hidden = s.head_sizes.front();
  return spec_to_json(s);
}

std::string rename_pyg(const std::string& key) {
  const auto old = key.find(".lin_src.");
  return old == std::string::npos ? key : key.substr(0, old) + ".lin." + key.substr(old + 9);
}

std::string guess_depgraph(const Shapes& shapes) {
  DepGraphSpec s;
  s.num_features_per_layer = {shapes.dim("gat_net.0.linear_proj.weight", 1)};
  s.num_heads_per_layer.clear();
  const std::int64_t layers = shapes.count("gat_net.", ".scoring_fn_source");
  for (std::int64_t i = 0; i < layers; ++i) {
    const std::string vector = "gat_net." + std::to_string(i) + ".scoring_fn_source";
    s.num_heads_per_layer.push_back(shapes.dim(vector, 1));
    s.num_features_per_layer.push_back(shapes.dim(vector, 2));
  }
  s.add_skip_connection = shapes.has("gat_net.0.skip_proj.weight");
  s.bias = shapes.has("gat_net.0.bias");
  return spec_to_json(s);
}

}  // namespace

Family gat_pyg() {
  Family f =
      make_family<PygSpec, GatPyg>("gat_pyg", "graph attention networks with PyTorch Geometric's keys");
  f.published = {{"gat-ppi-pyg", "{}", 3'076'766}};
  f.small_specs = {R"({"in_channels":6,"hidden":8,"out_channels":3,"heads":[4,2,3]})",
                   R"({"in_channels":5,"hidden":4,"out_channels":4,"heads":[4,2],"head_sizes":[6]})"};
  f.golden_archs = {"gat_pyg*"};
  f.spec_from_shapes = guess_pyg;
  f.rename = rename_pyg;
  return f;
}

Family gat_depgraph() {
  Family f = make_family<DepGraphSpec, GatDepGraph>("gat_depgraph",
                                                    "graph attention networks as DepGraph prunes them");
  f.published = {{"gat-ppi-depgraph", "{}", 3'694'117}};
  f.small_specs = {
      R"({"num_features_per_layer":[6,8,4,3],"num_heads_per_layer":[2,4,3]})",
      R"({"num_features_per_layer":[6,6,4],"num_heads_per_layer":[2,3]})",
      R"({"num_features_per_layer":[6,4,3],"num_heads_per_layer":[4,2],"add_skip_connection":false,"bias":false})"};
  f.golden_archs = {"gat_depgraph"};
  f.spec_from_shapes = guess_depgraph;
  return f;
}

}  // namespace pollard::models
