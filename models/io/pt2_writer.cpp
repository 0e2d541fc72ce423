// SPDX-License-Identifier: Apache-2.0
#include "models/io/pt2_writer.h"

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cctype>
#include <map>

#include "graph/error.h"
#include "models/io/atomic_file.h"
#include "models/io/pt2_graph_writer.h"
#include "models/io/pt2_schema.h"
#include "models/io/pt2_trees.h"
#include "models/io/tensor_memory.h"
#include "models/io/zip_writer.h"

namespace pollard::models::io {
namespace {

using pt2::OrderedJson;

constexpr const char* kName = "model";

/// A tensor as a record: its bytes in memory order, without gaps, and the strides that read them back.
struct Dense {
  at::Tensor bytes;  ///< contiguous, on the CPU
  std::vector<std::int64_t> strides;
};

Dense make_dense(const at::Tensor& given) {
  const at::Tensor tensor = given.detach().cpu();
  if (tensor.numel() > 0 && tensor.is_non_overlapping_and_dense())
    return {tensor.as_strided({tensor.numel()}, {1}, tensor.storage_offset()), tensor.strides().vec()};
  const at::Tensor copy = tensor.contiguous();
  return {copy, copy.strides().vec()};
}

/// Writes one folder of records and the config that names them.
class PayloadWriter {
 public:
  PayloadWriter(ZipWriter& zip, const pt2::GraphWriter& graph, std::string_view folder, std::string prefix)
      : zip_(zip), graph_(graph), folder_(folder), prefix_(std::move(prefix)) {}

  /// `same_as`: the name already written whose tensor this is, or "".
  void add(const std::string& name, const at::Tensor& tensor, const graph::Value& value, bool parameter,
           const std::string& same_as) {
    POLLARD_CHECK(tensor.sizes() == at::IntArrayRef(value.sizes()),
                  "shape of " + name + " is not the program's");
    const auto owner = records_.find(same_as);
    Record record = owner != records_.end() ? owner->second : write(tensor);
    config_[name] = {{"path_name", record.path},
                     {"is_param", parameter},
                     {"use_pickle", false},
                     {"tensor_meta", graph_.tensor_meta(value, &record.strides)}};
    records_.emplace(name, std::move(record));
  }

  void finish(const std::string& config_name) {
    zip_.add(std::string(folder_) + config_name, OrderedJson{{"config", config_}}.dump());
  }

 private:
  struct Record {
    std::string path;
    std::vector<std::int64_t> strides;
  };

  Record write(const at::Tensor& tensor) {
    const Dense dense = make_dense(tensor);
    Record record{prefix_ + std::to_string(count_++), dense.strides};
    zip_.add(std::string(folder_) + record.path, tensor_data(dense.bytes));
    return record;
  }

  ZipWriter& zip_;
  const pt2::GraphWriter& graph_;
  std::string_view folder_;
  std::string prefix_;
  std::map<std::string, Record> records_;
  OrderedJson config_ = OrderedJson::object();
  std::size_t count_ = 0;
};

graph::Value describe(const at::Tensor& tensor) {
  graph::Value value{.dtype = kernels::from_scalar_type(tensor.scalar_type())};
  for (std::int64_t size : tensor.sizes()) value.shape.push_back({size, ""});
  return value;
}

void write_weights(ZipWriter& zip, const Model& model, const pt2::GraphWriter& graph) {
  PayloadWriter weights(zip, graph, pt2::kWeightsDir, "weight_");
  PayloadWriter constants(zip, graph, pt2::kConstantsDir, "tensor_");
  const auto is_constant = [](const graph::Input& input) {
    return input.kind == graph::Input::Kind::Constant || !input.persistent;
  };
  const auto write = [&](bool want_constants) {
    for (const graph::Input& input : model.program.inputs) {
      if (input.kind == graph::Input::Kind::User || is_constant(input) != want_constants) continue;
      const auto found = model.weights.find(input.source);
      POLLARD_CHECK(found != model.weights.end(), "no weight named " + input.source);
      graph::Value value = model.program[input.value];
      value.requires_grad = value.requires_grad && input.kind == graph::Input::Kind::Parameter;
      (want_constants ? constants : weights)
          .add(input.source, found->second, value, input.kind == graph::Input::Kind::Parameter,
               input.tied_to);
    }
  };
  write(false);
  for (const auto& [name, tensor] : model.weights)  // in the state dict, but no op reads them
    if (!model.program.find_input(name)) weights.add(name, tensor, describe(tensor), false, "");
  weights.finish(std::string(kName) + "_weights_config.json");
  write(true);
  constants.finish(std::string(kName) + "_constants_config.json");
}

std::uint64_t estimated_size(const Model& model) {
  std::uint64_t bytes = 0;
  for (const auto& [name, tensor] : model.weights) {
    const graph::Input* input = model.program.find_input(name);
    if (!input || input->tied_to.empty())
      bytes += static_cast<std::uint64_t>(tensor.numel()) * tensor.element_size();
  }
  return bytes;
}

/// torch names an archive's root directory after the file.
std::string root_name(const std::filesystem::path& path) {
  std::string name = path.stem().string();
  std::replace_if(
      name.begin(), name.end(),
      [](unsigned char c) { return c >= 0x80 || (std::isalnum(c) == 0 && c != '_' && c != '-'); }, '_');
  return name.empty() ? kName : name;
}

}  // namespace

void write_pt2(Writer& out, const Model& model, const std::string& root) {
  const pt2::GraphWriter graph(model.program);
  ZipWriter zip(out, root);
  write_weights(zip, model, graph);
  zip.add("models/" + std::string(kName) + ".json", graph.exported_program().dump());
  const auto samples = pt2::write_sample_inputs(model.program, model.sample_inputs);
  zip.add("data/sample_inputs/" + std::string(kName) + ".pt", samples);
  for (const auto& [key, text] : model.metadata) zip.add(std::string(pt2::kExtraDir) + key, text);
  zip.add("archive_format", std::string_view("pt2"));
  zip.add("archive_version", std::string_view("0"));
  zip.add(".data/version", std::string_view("3\n"));
  zip.add("byteorder", std::string_view("little"));
  zip.finish();
}

void save_pt2(const Model& model, const std::filesystem::path& path, bool force) {
  AtomicFile file(path, {.force = force, .expected_size = estimated_size(model)});
  write_pt2(file, model, root_name(path));
  file.commit();
}

}  // namespace pollard::models::io
