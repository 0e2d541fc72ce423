// SPDX-License-Identifier: Apache-2.0
#include "models/families/oneformer.h"

#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "models/families/oneformer_text.h"
#include "models/layers/vision_transformer.h"

namespace pollard::models {
namespace {

/// As the reference fills a new network; text and decoder parts by their own rules.
std::optional<Init> oneformer_init(const OneformerSpec& s, const std::string& key, at::IntArrayRef shape) {
  const auto has = [&](std::string_view part) { return key.find(part) != std::string::npos; };
  if (key.ends_with("bias_table")) return Init::zeros();
  if (has(".sampling_offsets.") || has(".attention_weights.") || key.ends_with("decoder.level_embed"))
    return std::nullopt;
  if (shape.size() < 2) return key.ends_with("bias") ? std::optional(Init::zeros()) : std::nullopt;
  const double width = static_cast<double>(s.text_encoder_width);
  const double depth = static_cast<double>(2 * s.text_encoder_num_layers);
  if (has(".positional_embedding")) return Init::normal(0.01);
  if (has(".text_encoder.transformer.")) {
    if (has("in_proj")) return Init::normal(1 / std::sqrt(width));
    return Init::normal(has("fc1") ? 1 / std::sqrt(2 * width) : 1 / std::sqrt(width * depth));
  }
  const bool xavier = has(".decoder.layers.") || has("query_input_projection") || has("mask_embed") ||
                      has("task_mlp") || has("text_projector") || has("value_proj") || has("output_proj");
  return xavier ? Init::xavier_uniform() : Init::normal(0.02);
}

class Oneformer : public Network {
 public:
  explicit Oneformer(OneformerSpec spec)
      : spec_(std::move(spec)),
        backbone_(spec_),
        pixel_decoder_(spec_),
        decoder_(spec_),
        task_mlp_(spec_.task_seq_len, spec_.hidden_dim, spec_.hidden_dim, 2) {
    children({{"model.pixel_level_module.encoder", backbone_},
              {"model.pixel_level_module.decoder", pixel_decoder_},
              {"model.transformer_module", decoder_},
              {"model.task_encoder.task_mlp", task_mlp_}});
    if (spec_.is_training) child("model.text_mapper", text_mapper_.emplace(spec_));
    set_init(
        [this](const std::string& key, at::IntArrayRef shape) { return oneformer_init(spec_, key, shape); });
  }

  Result forward(const std::vector<at::Tensor>& inputs) override {
    const at::Tensor& image = inputs.at(0);
    const std::vector<at::Tensor> maps = backbone_(image);
    const PixelFeatures pixels = pixel_decoder_(maps);
    const at::Tensor task = task_mlp_(inputs.at(1).to(image.scalar_type()));
    const QueryDecoder::Decoded decoded = decoder_(pixels, task);
    if (tapping()) tap_all(maps, pixels, task, decoded);
    const auto& [classes, masks] = decoded.predictions.back();
    if (!text_mapper_)
      return Result::dict({{"class_queries_logits", classes}, {"masks_queries_logits", masks}});
    const at::Tensor texts = (*text_mapper_)(inputs.at(2));
    tap("text queries", texts);
    return Result::dict({{"class_queries_logits", classes},
                         {"masks_queries_logits", masks},
                         {"contrastive_queries", decoded.contrastive},
                         {"text_queries", texts}});
  }

  std::vector<Example> examples() const override {
    const std::int64_t side = spec_.image_size, ids = spec_.text_encoder_vocab_size;
    std::vector<Example> out{{"pixel_values", {batch(), 3, side, side}},
                             {"task_inputs", {batch(), spec_.task_seq_len}, at::kLong, ids}};
    const std::int64_t texts = spec_.num_queries - spec_.text_encoder_n_ctx;
    if (spec_.is_training)
      out.push_back({"text_inputs", {batch(), texts, spec_.text_encoder_context_length}, at::kLong, ids});
    return out;
  }

 private:
  void tap_all(const std::vector<at::Tensor>& maps, const PixelFeatures& pixels, const at::Tensor& task,
               const QueryDecoder::Decoded& decoded) const {
    for (std::size_t i = 0; i < maps.size(); ++i)
      tap("stage " + std::to_string(i + 1), maps[i].permute({0, 3, 1, 2}));
    for (std::size_t l = 0; l < pixels.levels.size(); ++l)
      tap("level " + std::to_string(l), as_map(pixels.levels[l]));
    tap("mask features", pixels.masks);
    tap("task token", task);
    tap("object queries", decoded.queries);
    tap("contrastive queries", decoded.contrastive);
    tap("first classes", decoded.predictions.front().classes);
    tap("last masks but one", decoded.predictions[decoded.predictions.size() - 2].masks);
  }

  OneformerSpec spec_;
  OneformerBackbone backbone_;
  PixelDecoder pixel_decoder_;
  QueryDecoder decoder_;
  PredictionMlp task_mlp_;
  std::optional<TextMapper> text_mapper_;
};

void guess_backbone(const Shapes& shapes, OneformerSpec& s) {
  const std::string swin = "model.pixel_level_module.encoder.swin.";
  const std::string patches = swin + "embeddings.patch_embeddings.projection.weight";
  s.embed_dim = shapes.dim(patches, 0);
  s.patch_size = shapes.dim(patches, 3);
  s.backbone_layernorm = shapes.has(swin + "layernorm.weight");
  for (std::size_t i = 0; i < 4; ++i) {
    const std::string blocks = swin + "encoder.layers." + std::to_string(i) + ".blocks.";
    const std::string table = blocks + "0.attention.relative_position_bias.relative_position_bias_table";
    s.depths[i] = shapes.count(blocks, ".layernorm_before.weight");
    s.num_heads[i] = shapes.dim(table, 1);
    s.window_size = (square_root(shapes.dim(table, 0)) + 1) / 2;
  }
  s.mlp_ratio = static_cast<double>(shapes.dim(swin + "encoder.layers.0.blocks.0.mlp.fc1.weight", 0)) /
                static_cast<double>(std::max<std::int64_t>(1, s.embed_dim));
}

void guess_text(const Shapes& shapes, OneformerSpec& s) {
  const std::string text = "model.text_mapper.", encoder = text + "text_encoder.";
  s.is_training = shapes.has(encoder + "positional_embedding");
  if (!s.is_training) return;
  s.text_encoder_context_length = shapes.dim(encoder + "positional_embedding", 0);
  s.text_encoder_width = shapes.dim(encoder + "positional_embedding", 1);
  s.text_encoder_vocab_size = shapes.dim(encoder + "token_embedding.weight", 0);
  s.text_encoder_num_layers = shapes.count(encoder + "transformer.layers.", ".mlp.fc1.weight");
  s.text_encoder_proj_layers = shapes.count(text + "text_projector.layers.", ".0.weight");
  s.text_encoder_n_ctx =
      shapes.has(text + "prompt_ctx.weight") ? shapes.dim(text + "prompt_ctx.weight", 0) : 0;
}

std::string guess(const Shapes& shapes) {
  OneformerSpec s;
  guess_backbone(shapes, s);
  const std::string pixel = "model.pixel_level_module.decoder.encoder.layers.",
                    query = "model.transformer_module.", layers = query + "decoder.layers.";
  s.num_queries = shapes.dim(query + "queries_embedder.weight", 0);
  s.hidden_dim = s.conv_dim = s.mask_dim = shapes.dim(query + "queries_embedder.weight", 1);
  s.num_labels = shapes.dim(query + "decoder.class_embed.weight", 0) - 1;
  s.num_attention_heads = shapes.dim(pixel + "0.self_attn.attention_weights.weight", 0) /
                          (OneformerSpec::kLevels * OneformerSpec::kPoints);
  s.encoder_layers = shapes.count(pixel, ".fc1.weight");
  s.encoder_feedforward_dim = shapes.dim(pixel + "0.fc1.weight", 0);
  s.decoder_layers = shapes.count(layers, ".ffn.linear1.weight") + 1;
  s.dim_feedforward = shapes.dim(layers + "0.ffn.linear1.weight", 0);
  s.query_dec_layers = shapes.count(query + "decoder.query_transformer.decoder.layers.", ".linear1.weight");
  s.task_seq_len = shapes.dim("model.task_encoder.task_mlp.layers.0.0.weight", 1);
  guess_text(shapes, s);
  return spec_to_json(s);
}

/// The backbone's fields stand in an object of their own.
std::string flat_config(std::string_view config, std::string_view, const Shapes&) {
  auto json = nlohmann::json::parse(config, nullptr, false);
  if (!json.is_object()) return std::string(config);
  for (const char* name : {"backbone", "backbone_config"})
    if (json.contains(name) && json[name].is_object())
      for (const char* field : {"image_size", "patch_size", "embed_dim", "depths", "num_heads", "window_size",
                                "mlp_ratio", "drop_path_rate"})
        if (json[name].contains(field)) json[field] = json[name][field];
  return json.dump();
}

/// transformers 4's names of the backbone.
std::string rename(const std::string& key) {
  constexpr std::string_view kEncoder = "model.pixel_level_module.encoder.";
  if (!key.starts_with(kEncoder)) return key;
  std::string rest = key.substr(kEncoder.size());
  if (rest.starts_with("encoder.") || rest.starts_with("embeddings.")) rest = "swin." + rest;
  constexpr std::array<std::pair<std::string_view, std::string_view>, 7> kNames{
      {{".attention.self.query.", ".attention.q_proj."},
       {".attention.self.key.", ".attention.k_proj."},
       {".attention.self.value.", ".attention.v_proj."},
       {".attention.self.relative", ".attention.relative_position_bias.relative"},
       {".attention.output.dense.", ".attention.o_proj."},
       {".intermediate.dense.", ".mlp.fc1."},
       {".output.dense.", ".mlp.fc2."}}};
  for (const auto& [old, now] : kNames)
    if (const auto at = rest.find(old); at != std::string::npos) {
      rest = rest.substr(0, at) + std::string(now) + rest.substr(at + old.size());
      break;
    }
  return std::string(kEncoder) + rest;
}

}  // namespace

Family oneformer() {
  Family f = make_family<OneformerSpec, Oneformer>(
      "oneformer", "OneFormer, universal segmentation with a Swin backbone, with transformers' keys");
  const std::string large =
      R"({"embed_dim":192,"depths":[2,2,18,2],"num_heads":[6,12,24,48],"window_size":12)";
  f.published = {
      {"oneformer_ade20k_swin_tiny", "{}", 50'737'937},
      {"oneformer_ade20k_swin_tiny with text mapper", R"({"is_training":true})", 68'280'849},
      {"oneformer_ade20k_swin_large", large + R"(,"num_queries":250})", 218'814'219},
      {"oneformer_cityscapes_swin_large", large + R"(,"num_queries":250,"num_labels":19})", 218'780'552},
      {"oneformer_coco_swin_large", large + R"(,"num_labels":133})", 218'784'250}};
  f.golden_archs = {"oneformer"};
  const std::string tiny =
      R"({"image_size":64,"embed_dim":8,"depths":[1,1,2,1],"num_heads":[1,2,2,2],"window_size":4,"num_labels":5,
          "num_queries":6,"num_attention_heads":2,"task_seq_len":6,"encoder_layers":1,"encoder_feedforward_dim":24,
          "query_dec_layers":1,"dim_feedforward":24,"text_encoder_vocab_size":40)";
  const std::string narrow = R"(,"hidden_dim":32,"conv_dim":32,"mask_dim":32)",
                    wide = R"(,"hidden_dim":64,"conv_dim":64,"mask_dim":64)";
  f.small_specs = {tiny + narrow + R"(,"decoder_layers":4})",
                   tiny + narrow + R"(,"decoder_layers":2,"pre_norm":true,"use_task_norm":false,
                                      "backbone_layernorm":false})",
                   tiny + wide + R"(,"decoder_layers":2,"is_training":true,"text_encoder_width":64,
                                    "text_encoder_context_length":8,"text_encoder_num_layers":1,
                                    "text_encoder_n_ctx":2})"};
  f.spec_from_shapes = guess;
  f.spec_from_config = flat_config;
  f.rename = rename;
  f.ignored = {"relative_position_index", "criterion.logit_scale", "criterion.empty_weight"};
  f.golden_taps = [](std::string_view) -> std::vector<std::string> {
    return {"output",
            "output:1",
            "object queries",
            "contrastive queries",
            "task token",
            "stage 1",
            "stage 2",
            "stage 3",
            "stage 4",
            "mask features",
            "level 0",
            "level 1",
            "level 2",
            "first classes",
            "last masks but one",
            "text queries"};
  };
  return f;
}

}  // namespace pollard::models
