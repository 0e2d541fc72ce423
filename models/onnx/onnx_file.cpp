// SPDX-License-Identifier: Apache-2.0
// Field numbers are those of onnx.proto3 (ModelProto, GraphProto, NodeProto, AttributeProto, TensorProto).
#include "models/onnx/onnx_file.h"

#include <memory>

#include "graph/error.h"
#include "kernels/executor.h"
#include "models/io/atomic_file.h"
#include "models/io/tensor_memory.h"
#include "models/onnx/element_type.h"
#include "models/onnx/wire.h"

namespace pollard::models::onnx {
namespace {

constexpr std::uint64_t kSmallTensor = 1024;  // bytes: stays in the graph whatever the rest weighs
constexpr std::uint64_t kAlignment = 64;
constexpr std::int64_t kFormatVersion = 8;  // of onnx.proto, with opsets 15 to 18

std::uint64_t bytes_of(const at::Tensor& tensor) {
  return static_cast<std::uint64_t>(tensor.numel()) * tensor.element_size();
}

Message tensor_head(const std::string& name, const at::Tensor& tensor) {
  Message out;
  for (std::int64_t size : tensor.sizes()) out.number(1, size);
  out.number(2, element_type(kernels::from_scalar_type(tensor.scalar_type())));
  out.text(8, name);
  return out;
}

Message tensor_inside(const std::string& name, const at::Tensor& tensor) {
  Message out = tensor_head(name, tensor);
  out.data(9, io::tensor_data(tensor));
  return out;
}

Message entry(std::string_view key, std::string_view value) {
  Message out;
  out.text(1, key);
  out.text(2, value);
  return out;
}

/// The second file, when there is one.
class DataFile {
 public:
  DataFile(const std::filesystem::path& model, bool force)
      : name_(model.filename().string() + ".data"), file_(model.string() + ".data", {.force = force}) {}

  Message add(const std::string& name, const at::Tensor& tensor) {
    const std::vector<std::byte> gap((kAlignment - file_.position() % kAlignment) % kAlignment);
    file_.write(gap);
    Message out = tensor_head(name, tensor);
    out.message(13, entry("location", name_));
    out.message(13, entry("offset", std::to_string(file_.position())));
    out.message(13, entry("length", std::to_string(bytes_of(tensor))));
    out.number(14, 1);  // data_location = EXTERNAL
    file_.write(io::tensor_data(tensor));
    return out;
  }
  void commit() { file_.commit(); }

 private:
  std::string name_;
  io::AtomicFile file_;
};

/// Sets the value and the type of an AttributeProto.
struct AttributeWriter {
  Message& out;
  void operator()(std::int64_t value) const { out.number(3, value), out.number(20, 2); }
  void operator()(float value) const { out.real(2, value), out.number(20, 1); }
  void operator()(const std::string& value) const { out.text(4, value), out.number(20, 3); }
  void operator()(const at::Tensor& value) const {
    out.message(5, tensor_inside("", value)), out.number(20, 4);
  }
  void operator()(const std::vector<float>& values) const {
    for (float value : values) out.real(7, value);
    out.number(20, 6);
  }
  void operator()(const std::vector<std::int64_t>& values) const {
    for (std::int64_t value : values) out.number(8, value);
    out.number(20, 7);
  }
  void operator()(const std::vector<std::string>& values) const {
    for (const std::string& value : values) out.text(9, value);
    out.number(20, 8);
  }
};

Message node_message(const Node& node) {
  Message out;
  for (const std::string& input : node.inputs) out.text(1, input);
  for (const std::string& output : node.outputs) out.text(2, output);
  out.text(3, node.name);
  out.text(4, node.type);
  for (const Attribute& attribute : node.attributes) {
    Message message;
    message.text(1, attribute.name);
    std::visit(AttributeWriter{message}, attribute.value);
    out.message(5, std::move(message));
  }
  return out;
}

Message port_message(const Port& port) {
  Message shape;
  for (const graph::Size& size : port.shape) {
    Message dimension;
    if (size.symbolic())
      dimension.text(2, size.expr);
    else
      dimension.number(1, size.hint);
    shape.message(1, std::move(dimension));
  }
  Message tensor, type, out;
  tensor.number(1, element_type(port.dtype));
  tensor.message(2, std::move(shape));
  type.message(1, std::move(tensor));
  out.text(1, port.name);
  out.message(2, std::move(type));
  return out;
}

Message model_message(const OnnxGraph& graph, Message body) {
  Message opset, out;
  opset.text(1, "");
  opset.number(2, graph.opset);
  out.number(1, kFormatVersion);
  out.text(2, "pollard");
  out.message(7, std::move(body));
  out.message(8, std::move(opset));
  for (const auto& [key, value] : graph.metadata) out.message(14, entry(key, value));
  return out;
}

}  // namespace

void save(const OnnxGraph& graph, const std::filesystem::path& path, const FileOptions& options) {
  std::uint64_t bytes = 0;
  for (const auto& [name, tensor] : graph.initializers) bytes += bytes_of(tensor);
  std::unique_ptr<DataFile> beside;
  if (bytes > options.most_inside) beside = std::make_unique<DataFile>(path, options.force);
  Message body;
  for (const Node& node : graph.nodes) body.message(1, node_message(node));
  body.text(2, "pollard");
  for (const auto& [name, tensor] : graph.initializers)
    body.message(5, beside && bytes_of(tensor) >= kSmallTensor ? beside->add(name, tensor)
                                                               : tensor_inside(name, tensor));
  for (const Port& port : graph.inputs) body.message(11, port_message(port));
  for (const Port& port : graph.outputs) body.message(12, port_message(port));
  const Message model = model_message(graph, std::move(body));
  io::AtomicFile file(path, {.force = options.force, .expected_size = model.size()});
  model.write(file);
  if (beside) beside->commit();
  file.commit();
}

}  // namespace pollard::models::onnx
