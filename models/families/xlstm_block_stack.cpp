// SPDX-License-Identifier: Apache-2.0
#include "models/families/vision_lstm.h"
#include "models/layers/vil_layer.h"
#include "models/layers/vision_transformer.h"

namespace pollard::models {
namespace {

struct BlockStackSpec {
  std::int64_t dim = 192, depth = 12, context_length = 196, conv1d_kernel_size = 4;
  std::string alternation = "none";
  double drop_path_rate = 0, dropout = 0, layerscale = 0;
  bool bidirectional = false, quaddirectional = false, sharedirs = false, use_conv2d = false, bias = false;
  bool share_conv = true, use_v_conv = false;

  void fields(Fields& f) {
    f.integer("dim", dim, {1, 1 << 14});
    f.integer("depth", depth, {1, 1024});
    f.integer("context_length", context_length, {1, 1 << 16});
    f.integer("conv1d_kernel_size", conv1d_kernel_size, {1, 64});
    f.text("alternation", alternation, {"none", "bidirectional", "quaddirectional"});
    f.real("drop_path_rate", drop_path_rate);
    f.real("dropout", dropout);
    f.real("layerscale", layerscale);
    f.flag("bidirectional", bidirectional);
    f.flag("quaddirectional", quaddirectional);
    f.flag("sharedirs", sharedirs);
    f.flag("use_conv2d", use_conv2d);
    f.flag("bias", bias);
    f.flag("share_conv", share_conv);
    f.flag("use_v_conv", use_v_conv);
    f.require(share_conv && !use_v_conv, "q and k share one convolution and v has none");
    f.require(alternation == "none" || passes().size() == 1, "alternation is for layers of one pass");
    f.require(!use_conv2d || (!quaddirectional && conv1d_kernel_size % 2 == 1),
              "use_conv2d has an odd kernel and at most two passes");
    f.require(!sharedirs || passes().size() > 1, "sharedirs needs several passes");
    f.require(side() * side() == context_length || (!use_conv2d && !columns()),
              "columns and use_conv2d need a square context_length");
  }
  bool columns() const { return quaddirectional || alternation == "quaddirectional"; }
  std::int64_t side() const {
    std::int64_t n = 1;
    while (n * n < context_length) ++n;
    return n;
  }
  std::vector<Traversal> passes() const {
    if (quaddirectional)
      return {Traversal::Rows, Traversal::RowsBack, Traversal::Columns, Traversal::ColumnsBack};
    if (bidirectional) return {Traversal::Rows, Traversal::RowsBack};
    return {Traversal::Rows};
  }
  Traversal traversal(std::int64_t i) const {
    if (alternation == "none") return Traversal::Rows;
    return static_cast<Traversal>(i % (alternation == "bidirectional" ? 2 : 4));
  }
  /// Twice the width, in full 64s.
  std::int64_t inner() const { return (2 * dim + 63) / 64 * 64; }
};

VilBlock::Options block_options(const BlockStackSpec& s, std::int64_t i) {
  const Bias bias = s.bias ? Bias::Yes : Bias::No;
  VilBlock::Options o;
  o.layer = {.width = s.dim, .branch = {}, .passes = s.passes(), .shared = s.sharedirs};
  o.layer.branch = {.cell = {.width = s.inner(), .heads = 4, .norm_bias = bias},
                    .map = {s.side(), s.side()},
                    .kernel = s.conv1d_kernel_size,
                    .conv2d = s.use_conv2d,
                    .bias = bias};
  o.traversal = s.traversal(i);
  o.norm_bias = bias;
  o.drop_path = s.drop_path_rate;
  o.dropout = s.dropout;
  o.layer_scale = s.layerscale;
  o.norm_name = "xlstm_norm";
  o.layer_name = "xlstm";
  return o;
}

class BlockStack : public Network {
 public:
  explicit BlockStack(const BlockStackSpec& spec)
      : spec_(spec), norm_(spec.dim, spec.bias ? Bias::Yes : Bias::No) {
    for (std::int64_t i = 0; i < spec_.depth; ++i) blocks_.emplace(block_options(spec_, i));
    children({{"blocks", blocks_}, {"post_blocks_norm", norm_}});
    set_init([spec](const std::string& key, at::IntArrayRef shape) {
      return vil_init(key, shape, spec.dim, spec.depth);
    });
  }

  Result forward(const std::vector<at::Tensor>& inputs) override {
    at::Tensor x = inputs.at(0);
    for (const auto& block : blocks_) x = (*block)(x);
    return norm_(x);
  }

  std::vector<Example> examples() const override {
    return {{"x", {batch(), spec_.context_length, spec_.dim}}};
  }

 private:
  BlockStackSpec spec_;
  ModuleList<VilBlock> blocks_;
  ResidualLayerNorm norm_;
};

std::string guess(const Shapes& shapes) {
  BlockStackSpec s;
  const std::string layer = "blocks.0.xlstm.", conv = layer + "conv1d.";
  s.dim = shapes.dim("post_blocks_norm.weight", 0);
  s.depth = shapes.count("blocks.", ".xlstm_norm.weight");
  s.bias = shapes.has("post_blocks_norm.bias");
  s.use_conv2d = shapes.has(conv + "weight");
  s.conv1d_kernel_size = shapes.dim(s.use_conv2d ? conv + "weight" : conv + "conv.weight", -1);
  s.quaddirectional = shapes.has(layer + "learnable_skip_ud");
  s.bidirectional = !s.quaddirectional && shapes.has(layer + "learnable_skip_rev");
  s.layerscale = shapes.has(layer + "layerscale.gamma") ? 1e-4 : 0;
  return spec_to_json(s);
}

}  // namespace

Family xlstm_block_stack() {
  Family f = make_family<BlockStackSpec, BlockStack>("xlstm_block_stack",
                                                     "mLSTM blocks of the Vision-LSTM design study");
  f.golden_archs = {"xlstm_block_stack"};
  const std::string tiny = R"({"dim":16,"depth":2,"context_length":16)";
  f.small_specs = {
      tiny + "}",
      tiny + R"(,"bidirectional":true,"dropout":0.1,"layerscale":0.1})",
      tiny + R"(,"bidirectional":true,"sharedirs":true})",
      tiny + R"(,"quaddirectional":true,"drop_path_rate":0.1})",
      tiny + R"(,"alternation":"bidirectional","use_conv2d":true,"conv1d_kernel_size":3,"bias":true})",
      R"({"dim":16,"depth":4,"context_length":16,"alternation":"quaddirectional"})"};
  f.spec_from_shapes = guess;
  return f;
}

}  // namespace pollard::models
