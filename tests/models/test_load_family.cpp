// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "graph/error.h"
#include "models/registry.h"

namespace pollard::models {
namespace {

using kernels::Weights;

constexpr const char* kTinyBert = R"({"vocab_size":97,"hidden_size":32,"num_hidden_layers":2,
  "num_attention_heads":4,"intermediate_size":48,"max_position_embeddings":40})";
constexpr const char* kTinyLstm = R"({"vocab":50,"input_size":8,"hidden_size":6})";

/// A checkpoint as a file would give it.
Weights checkpoint(const char* family, const char* spec) {
  return fresh_model(*find_family(family), spec, 0).weights;
}

UserError::Parts refusal(Weights tensors, const LoadOptions& options = {}, std::string_view config = {}) {
  try {
    load_family(std::move(tensors), options, config);
  } catch (const UserError& error) {
    EXPECT_EQ(error.exit(), Exit::Unsupported);
    return error.parts();
  }
  ADD_FAILURE() << "not refused";
  return {};
}

std::vector<at::Tensor> run(const Model& model) {
  return kernels::Executor(model.program).run(model.weights, model.sample_inputs);
}

TEST(LoadFamily, GivesBackWhatWasSaved) {
  const Model fresh = fresh_model(*find_family("rnn_classifier"), kTinyLstm, 3);
  const Model loaded = load_family(fresh.weights);
  EXPECT_EQ(loaded.family, "rnn_classifier");
  EXPECT_EQ(loaded.spec_json, fresh.spec_json);
  EXPECT_EQ(graph::to_string(loaded.program), graph::to_string(fresh.program));
  EXPECT_TRUE(at::equal(run(loaded)[0], run(fresh)[0]));
}

TEST(LoadFamily, SharesTheFilesTensors) {
  const Weights tensors = checkpoint("rnn_classifier", kTinyLstm);
  const Model model = load_family(tensors);
  for (const auto& [name, tensor] : tensors) EXPECT_TRUE(model.weights.at(name).is_same(tensor)) << name;
}

TEST(LoadFamily, SeedsDecideFreshWeights) {
  const auto weight = [](std::uint64_t seed) {
    return fresh_model(*find_family("rnn_classifier"), kTinyLstm, seed).weights.at("fc.weight");
  };
  EXPECT_TRUE(at::equal(weight(1), weight(1)));
  EXPECT_FALSE(at::equal(weight(1), weight(2)));
}

TEST(LoadFamily, KeepsTheFilesNames) {
  Weights wrapped;
  for (const auto& [name, tensor] : checkpoint("cifar_resnet", R"({"depth":8})"))
    wrapped["module." + name] = tensor;
  const Model model = load_family(wrapped);
  EXPECT_EQ(model.family, "cifar_resnet");
  EXPECT_NE(model.program.find_input("module.conv1.weight"), nullptr);
  EXPECT_EQ(model.program.find_input("conv1.weight"), nullptr);
  EXPECT_TRUE(model.weights.contains("module.layer1.0.bn1.running_mean"));
  EXPECT_EQ(run(model)[0].size(1), 10);
}

TEST(LoadFamily, OldNamesAndUnusedBuffersOfBertAreUnderstood) {
  Weights tensors;
  for (const auto& [name, tensor] : checkpoint("bert", kTinyBert)) {
    std::string old = name;
    if (const auto at = old.find("LayerNorm.weight"); at != std::string::npos)
      old.replace(at, 16, "LayerNorm.gamma");
    if (const auto at = old.find("LayerNorm.bias"); at != std::string::npos)
      old.replace(at, 14, "LayerNorm.beta");
    tensors[old] = tensor;
  }
  tensors["embeddings.position_ids"] = at::arange(40).unsqueeze(0);
  const Model model = load_family(tensors, {}, R"({"num_attention_heads":4,"model_type":"bert"})");
  EXPECT_NE(model.program.find_input("embeddings.LayerNorm.gamma"), nullptr);
  EXPECT_EQ(model.program.find_input("embeddings.position_ids"), nullptr);
}

/// timm's name of a layer of torchvision's MobileNetV2.
std::string timm_name(const std::string& name) {
  using Names = std::vector<std::pair<std::string, std::string>>;
  const auto renamed = [](const std::string& text, const Names& names) {
    for (const auto& [from, to] : names)
      if (text.starts_with(from)) return to + text.substr(from.size());
    return text;
  };
  if (!name.starts_with("features.") || name.starts_with("features.0.") || name.starts_with("features.18."))
    return renamed(name, {{"features.0.0.", "conv_stem."},
                          {"features.0.1.", "bn1."},
                          {"features.18.0.", "conv_head."},
                          {"features.18.1.", "bn2."},
                          {"classifier.1.", "classifier."}});
  constexpr int kDepths[] = {1, 2, 3, 4, 3, 3, 1};
  int block = std::stoi(name.substr(9)) - 1, stage = 0;
  for (; block >= kDepths[stage]; ++stage) block -= kDepths[stage];
  const std::string part = name.substr(name.find(".conv.") + 6);
  return "blocks." + std::to_string(stage) + "." + std::to_string(block) + "." +
         renamed(part, stage == 0
                           ? Names{{"0.0.", "conv_dw."}, {"0.1.", "bn1."}, {"1.", "conv_pw."}, {"2.", "bn2."}}
                           : Names{{"0.0.", "conv_pw."},
                                   {"0.1.", "bn1."},
                                   {"1.0.", "conv_dw."},
                                   {"1.1.", "bn2."},
                                   {"2.", "conv_pwl."},
                                   {"3.", "bn3."}});
}

TEST(LoadFamily, TimmsNamesOfMobileNetAreUnderstood) {
  const Model fresh = fresh_model(*find_family("mobilenet_v2"), "{}", 0);
  Weights tensors;
  for (const auto& [name, tensor] : fresh.weights) tensors[timm_name(name)] = tensor;
  const Model model = load_family(tensors, {}, R"({"architecture":"mobilenetv2_100"})");
  EXPECT_EQ(model.spec_json, fresh.spec_json);
  EXPECT_NE(model.program.find_input("blocks.3.2.conv_pwl.weight"), nullptr);
  EXPECT_EQ(model.weights.size(), tensors.size());
  // A deeper one has names of its own, and is not taken for this one.
  tensors["blocks.1.2.conv_pw.weight"] = at::ones({144, 24, 1, 1});
  const auto parts = refusal(tensors, {}, R"({"architecture":"mobilenetv2_110d"})");
  EXPECT_EQ(parts.code, "E0420");
  EXPECT_NE(parts.where.find("mobilenetv2_110d"), std::string::npos);
  EXPECT_NE(parts.why.find("not part of it: blocks.1.2.conv_pw.weight"), std::string::npos);
}

TEST(LoadFamily, VggIsReadFromThePlacesOfItsConvolutions) {
  for (const std::string& spec : find_family("vgg")->small_specs) {
    const Model fresh = fresh_model(*find_family("vgg"), spec, 0);
    const Model model = load_family(fresh.weights);
    EXPECT_EQ(model.family, "vgg");
    EXPECT_NE(model.program.find_input("features.0.weight"), nullptr);
    EXPECT_EQ(model.weights.at("features.0.weight").size(0), 4);
  }
}

TEST(LoadFamily, NamesThatDifferInCountersAloneAreListedOnce) {
  const auto parts =
      refusal({{"blocks.0.mixer.weight", at::ones({2, 2})}, {"blocks.1.mixer.weight", at::ones({2, 2})}});
  EXPECT_NE(parts.why.find("blocks.0.mixer.weight (+1 alike)"), std::string::npos) << parts.why;
}

TEST(LoadFamily, AConfigurationOfAnotherNetworkWithTheSameNamesIsRefused) {
  const Weights tensors = checkpoint("bert", kTinyBert);
  try {
    load_family(tensors, {}, R"({"num_attention_heads":4,"model_type":"roberta"})");
    FAIL() << "was taken for BERT";
  } catch (const UserError& error) {
    EXPECT_EQ(error.parts().code, "E0420");
    EXPECT_NE(error.parts().message.find("roberta"), std::string::npos);
  }
  EXPECT_NO_THROW(
      load_family(tensors, {.family = "bert"}, R"({"num_attention_heads":4,"model_type":"roberta"})"));
}

TEST(LoadFamily, AConfigurationSettlesWhatShapesLeaveOpen) {
  const Weights tensors = checkpoint("bert", kTinyBert);
  EXPECT_NE(load_family(tensors).spec_json.find(R"("num_attention_heads":1)"), std::string::npos);
  const Model model = load_family(tensors, {}, R"({"num_attention_heads":4,"hidden_act":"relu"})");
  EXPECT_NE(model.spec_json.find(R"("num_attention_heads":4)"), std::string::npos);
  EXPECT_NE(model.spec_json.find(R"("hidden_act":"relu")"), std::string::npos);
}

TEST(LoadFamily, AConfigurationOfAnotherModelIsLeftAside) {
  const Model model =
      load_family(checkpoint("bert", kTinyBert), {}, R"({"num_hidden_layers":12,"vocab_size":7})");
  EXPECT_NE(model.spec_json.find(R"("num_hidden_layers":2)"), std::string::npos);
}

TEST(LoadFamily, HalfPrecisionStaysHalfPrecision) {
  Weights tensors;
  for (const auto& [name, tensor] : checkpoint("rnn_classifier", kTinyLstm))
    tensors[name] = tensor.to(at::kBFloat16);
  const Model model = load_family(tensors);
  EXPECT_EQ(model.program[model.program.outputs[0].value.as<graph::ValueId>()[0]].dtype,
            graph::DType::BFloat16);
}

TEST(LoadFamily, ForeignNamesAreRefusedWithTheNearestFamilies) {
  const auto parts = refusal({{"blocks.0.mixer.weight", at::ones({2, 2})}});
  EXPECT_EQ(parts.code, "E0420");
  EXPECT_NE(parts.why.find("nearest families"), std::string::npos);
  EXPECT_NE(parts.why.find("blocks.0.mixer.weight"), std::string::npos);
  EXPECT_EQ(refusal({}).code, "E0423");
}

TEST(LoadFamily, MissingAndUnexpectedNamesAreListed) {
  Weights tensors = checkpoint("bert", kTinyBert);
  tensors.erase("encoder.layer.1.output.dense.bias");
  EXPECT_NE(refusal(tensors).why.find("missing for bert: encoder.layer.1.output.dense.bias"),
            std::string::npos);
  tensors = checkpoint("bert", kTinyBert);
  tensors["classifier.weight"] = at::ones({2, 32});
  EXPECT_NE(refusal(tensors).why.find("not part of it: classifier.weight"), std::string::npos);
  EXPECT_EQ(load_family(tensors, {.family = "bert"}).family, "bert");
}

TEST(LoadFamily, NamesInMessagesCannotDriveATerminal) {
  const auto parts = refusal({{"evil\x1b[2J", at::ones({2})}});
  EXPECT_EQ(parts.why.find('\x1b'), std::string::npos);
}

TEST(LoadFamily, WrongShapesAreShown) {
  Weights tensors = checkpoint("cifar_resnet", R"({"depth":8})");
  tensors["layer2.0.conv2.weight"] = at::ones({31, 32, 3, 3});
  const auto parts = refusal(tensors);
  EXPECT_EQ(parts.code, "E0422");
  EXPECT_NE(parts.why.find("layer2.0.conv2.weight is [31,32,3,3], expected [32,32,3,3]"), std::string::npos);
}

TEST(LoadFamily, ANamedFamilyMustExistAndFit) {
  const Weights tensors = checkpoint("rnn_classifier", kTinyLstm);
  EXPECT_EQ(refusal(tensors, {.family = "nonsense"}).code, "E0420");
  EXPECT_EQ(refusal(tensors, {.family = "resnet"}).code, "E0420");
}

}  // namespace
}  // namespace pollard::models
