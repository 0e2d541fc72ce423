// SPDX-License-Identifier: Apache-2.0
// What ONNX files are made of. That other runtimes compute the same is tests/models/test_onnx_runtime.py's business.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <set>

#include "graph/error.h"
#include "models/onnx/export.h"
#include "models/onnx/rules.h"
#include "models/onnx/wire.h"
#include "tests/bad_files/temp_folder.h"
#include "tests/paths.h"

namespace pollard::models::onnx {
namespace {

class Memory : public io::Writer {
 public:
  void write(std::span<const std::byte> bytes) override {
    text.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  std::uint64_t position() const override { return text.size(); }
  std::string text;
};

std::string bytes_of(const Message& message) {
  Memory memory;
  message.write(memory);
  EXPECT_EQ(memory.text.size(), message.size());
  return memory.text;
}

std::string content(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

Model example(const char* name) { return load(test::data_folder() + "/cases/" + name); }

TEST(Onnx, FieldsAreWrittenAsTheFormatSays) {
  Message inner, outer;
  inner.number(1, 300);  // the format's own example: 08 96 01 is 150, AC 02 is 300
  EXPECT_EQ(bytes_of(inner), std::string("\x08\xAC\x02"));
  const std::vector<std::byte> lent{std::byte{7}, std::byte{8}};
  inner.data(9, lent);
  inner.text(4, "ab");
  outer.message(2, std::move(inner));
  outer.real(3, 1.0F);
  outer.number(5, -1);
  EXPECT_EQ(bytes_of(outer), std::string("\x12\x0B\x08\xAC\x02\x4A\x02\x07\x08\x22\x02"
                                         "ab\x1D\x00\x00\x80\x3F\x28\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01",
                                         29));
}

TEST(Onnx, EveryNameAGraphReadsIsMadeBefore) {
  for (const char* name : {"syn_group_conv.pt2", "hf_llama_gqa.pt2", "bilstm2.pt2", "dgcnn.pt2"}) {
    const OnnxGraph graph = translate(example(name));
    std::set<std::string> made{""};
    for (const Port& port : graph.inputs) made.insert(port.name);
    for (const auto& [initializer, tensor] : graph.initializers)
      EXPECT_TRUE(made.insert(initializer).second) << initializer;
    for (const Node& node : graph.nodes) {
      for (const std::string& input : node.inputs)
        EXPECT_TRUE(made.contains(input)) << node.name << " reads " << input;
      for (const std::string& output : node.outputs) EXPECT_TRUE(made.insert(output).second) << output;
    }
    for (const Port& port : graph.outputs) EXPECT_TRUE(made.contains(port.name)) << port.name;
    EXPECT_GE(graph.opset, 17);
  }
}

TEST(Onnx, WeightsKeepTheirNamesAndTiedOnesAreStoredOnce) {
  const OnnxGraph graph = translate(example("syn_tied_weight.pt2"));
  std::vector<std::string> weights;
  for (const auto& [name, tensor] : graph.initializers)
    if (name.ends_with(".weight")) weights.push_back(name);
  const Model model = example("syn_tied_weight.pt2");
  const auto tied =
      std::ranges::count_if(model.program.inputs, [](const graph::Input& i) { return !i.tied_to.empty(); });
  const auto all = std::ranges::count_if(model.program.inputs,
                                         [](const graph::Input& i) { return i.source.ends_with(".weight"); });
  EXPECT_GT(tied, 0);
  EXPECT_EQ(static_cast<std::ptrdiff_t>(weights.size()), all - tied);
}

TEST(Onnx, LargeWeightsGoToAFileBeside) {
  const bad_files::TempFolder folder;
  const Model model = example("mha.pt2");
  const auto inside = folder.path() / "inside.onnx", outside = folder.path() / "outside.onnx";
  export_onnx(model, inside);
  export_onnx(model, outside, {.most_inside = 1024});
  EXPECT_FALSE(std::filesystem::exists(inside.string() + ".data"));
  const std::string data = content(outside.string() + ".data");
  EXPECT_LT(content(outside).size() + data.size() / 2, content(inside).size());
  const at::Tensor weight = model.weights.at("inp.weight").contiguous();
  const std::string bytes(static_cast<const char*>(weight.const_data_ptr()), weight.nbytes());
  EXPECT_NE(data.find(bytes), std::string::npos);
  EXPECT_EQ(data.find(bytes) % 64, 0u);
  EXPECT_NE(content(outside).find("outside.onnx.data"), std::string::npos);
}

TEST(Onnx, OpsWithoutARuleAreAllNamed) {
  Model model = example("syn_reuse_twice.pt2");
  std::size_t seen = 0;
  for (graph::Op& op : model.program.ops)
    if (op.target == "aten.relu.default")
      op.target = seen++ % 2 == 0 ? "aten.erfinv.default" : "aten.lgamma.default";
  ASSERT_GE(seen, 2u);
  try {
    translate(model);
    FAIL() << "was translated";
  } catch (const UserError& error) {
    EXPECT_EQ(error.parts().code, "E0470");
    EXPECT_NE(error.parts().subject.find("erfinv"), std::string::npos);
    EXPECT_NE(error.parts().subject.find("lgamma"), std::string::npos);
  }
}

TEST(Onnx, TheNewestOpsetIsAskedForOnlyWhereAnOpNeedsIt) {
  EXPECT_EQ(find_rule("aten.linear.default")->opset, 17);
  EXPECT_EQ(find_rule("aten.scatter_reduce.two")->opset, 18);
  EXPECT_EQ(find_rule("aten.linalg_eigh.default"), nullptr);
}

}  // namespace
}  // namespace pollard::models::onnx
