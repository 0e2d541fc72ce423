// SPDX-License-Identifier: Apache-2.0
#include "models/io/pt2_trees.h"

#include <nlohmann/json.hpp>

#include <optional>
#include <span>
#include <utility>

#include "kernels/executor.h"
#include "models/io/bytes.h"
#include "models/io/json.h"
#include "models/io/tensor_memory.h"
#include "models/io/zip_writer.h"

namespace pollard::models::io::pt2 {
namespace {

using Json = nlohmann::ordered_json;

Json leaf() { return {{"type", nullptr}, {"context", nullptr}, {"children_spec", Json::array()}}; }
Json branch(const char* type, const char* context, Json children) {
  return {{"type", type}, {"context", context}, {"children_spec", std::move(children)}};
}
std::string spec_text(const Json& tree) { return Json::array({1, tree}).dump(); }

/// Pickle, protocol 2, of nested tuples, lists and dicts of tensors; storages are numbered in order.
class Pickler {
 public:
  Pickler(const graph::Program& program, const std::vector<at::Tensor>& tensors) : tensors_(tensors) {
    for (const graph::Input* input : program.user_inputs()) {
      const bool tensor = !input->constant && program[input->value].kind == graph::Value::Kind::Tensor;
      leaves_.push_back(input->constant ? *input->constant
                        : tensor        ? graph::Arg()
                                        : graph::Arg(program[input->value].scalar.hint));
      is_tensor_.push_back(tensor);
    }
  }

  /// nullopt when the tree cannot be written or does not have as many leaves as the program has inputs.
  std::optional<std::string> write(const nlohmann::json& spec) {
    out_ = "\x80\x02";
    if (!tree(spec, 0) || leaf_ != leaves_.size() || tensor_ != tensors_.size()) return std::nullopt;
    out_ += '.';
    return std::move(out_);
  }

 private:
  bool tree(const nlohmann::json& spec, int depth) {
    if (depth > 32 || !spec.is_object() || !spec.contains("children_spec")) return false;
    const nlohmann::json& children = spec["children_spec"];
    const nlohmann::json type = spec.value("type", nlohmann::json());
    if (type.is_null()) return children.empty() && leaf();
    if (type == "builtins.tuple") return sequence("(", "t", children, depth);
    if (type == "builtins.list") return sequence("](", "e", children, depth);
    return type == "builtins.dict" && dict(spec, children, depth);
  }

  bool sequence(const char* open, const char* close, const nlohmann::json& children, int depth) {
    out_ += open;
    for (const auto& child : children)
      if (!tree(child, depth + 1)) return false;
    out_ += close;
    return true;
  }

  bool dict(const nlohmann::json& spec, const nlohmann::json& children, int depth) {
    const nlohmann::json& context = spec.value("context", nlohmann::json());
    if (!context.is_string()) return false;
    const nlohmann::json keys = nlohmann::json::parse(context.get_ref<const std::string&>(), nullptr, false);
    if (!keys.is_array() || keys.size() != children.size()) return false;
    out_ += "}(";
    for (std::size_t i = 0; i < children.size(); ++i) {
      if (!keys[i].is_string()) return false;
      text(keys[i].get_ref<const std::string&>());
      if (!tree(children[i], depth + 1)) return false;
    }
    out_ += 'u';
    return true;
  }

  bool leaf() {
    if (leaf_ >= leaves_.size()) return false;
    const graph::Arg& constant = leaves_[leaf_];
    if (is_tensor_[leaf_++]) return tensor();
    if (const auto* v = constant.as<bool>())
      out_ += *v ? '\x88' : '\x89';
    else if (const auto* n = constant.as<std::int64_t>())
      integer(*n);
    else if (const auto* s = constant.as<std::string>())
      text(*s);
    else if (constant.is_none())
      out_ += 'N';
    else
      return false;
    return true;
  }

  bool tensor() {
    if (tensor_ >= tensors_.size()) return false;
    const at::Tensor& value = tensors_[tensor_];
    const auto name = storage_class(value.scalar_type());
    if (!name) return false;
    out_ += "ctorch._utils\n_rebuild_tensor_v2\n((";
    text("storage");
    out_ += "ctorch\n" + std::string(*name) + "\n";
    text(std::to_string(tensor_++));
    text("cpu");
    integer(value.numel());
    out_ += "tQ";
    integer(0);
    integers(value.sizes());
    integers(value.contiguous().strides());
    out_ +=
        "\x89"
        "ccollections\nOrderedDict\n)RtR";
    return true;
  }

  void integers(at::IntArrayRef values) {
    out_ += '(';
    for (std::int64_t value : values) integer(value);
    out_ += 't';
  }
  void integer(std::int64_t value) {
    out_ += "\x8a\x08";  // LONG1 of eight bytes
    little(static_cast<std::uint64_t>(value), 8);
  }
  void text(const std::string& value) {
    out_ += 'X';
    little(value.size(), 4);
    out_ += value;
  }
  void little(std::uint64_t value, int bytes) {
    for (int i = 0; i < bytes; ++i) out_ += static_cast<char>((value >> (8 * i)) & 0xFFU);
  }

  static std::optional<std::string_view> storage_class(at::ScalarType type) {
    switch (type) {
      case at::kFloat: return "FloatStorage";
      case at::kDouble: return "DoubleStorage";
      case at::kHalf: return "HalfStorage";
      case at::kBFloat16: return "BFloat16Storage";
      case at::kLong: return "LongStorage";
      case at::kInt: return "IntStorage";
      case at::kShort: return "ShortStorage";
      case at::kChar: return "CharStorage";
      case at::kByte: return "ByteStorage";
      case at::kBool: return "BoolStorage";
      default: return std::nullopt;
    }
  }

  const std::vector<at::Tensor>& tensors_;
  std::vector<graph::Arg> leaves_;
  std::vector<bool> is_tensor_;
  std::string out_;
  std::size_t leaf_ = 0, tensor_ = 0;
};

class MemoryWriter final : public Writer {
 public:
  void write(std::span<const std::byte> bytes) override {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }
  std::uint64_t position() const override { return bytes_.size(); }
  std::vector<std::byte> take() { return std::move(bytes_); }

 private:
  std::vector<std::byte> bytes_;
};

}  // namespace

graph::CallSpec call_spec(const graph::Program& program) {
  graph::CallSpec call = program.call;
  if (call.in_spec.empty()) {
    Json leaves = Json::array();
    for (std::size_t i = 0; i < program.user_inputs().size(); ++i) leaves.push_back(leaf());
    const Json kwargs = branch("builtins.dict", "[]", Json::array());
    call.in_spec =
        spec_text(branch("builtins.tuple", "null",
                         Json::array({branch("builtins.tuple", "null", std::move(leaves)), kwargs})));
    call.forward_arg_names.clear();
    for (const graph::Input* input : program.user_inputs())
      call.forward_arg_names.push_back(program[input->value].name);
  }
  if (call.out_spec.empty()) {
    Json leaves = Json::array();
    for (const graph::Output& output : program.outputs)
      if (output.kind == graph::Output::Kind::User) leaves.push_back(leaf());
    call.out_spec =
        spec_text(leaves.size() == 1 ? leaf() : branch("builtins.tuple", "null", std::move(leaves)));
  }
  return call;
}

std::vector<std::byte> write_sample_inputs(const graph::Program& program,
                                           const std::vector<at::Tensor>& tensors) {
  if (tensors.empty()) return {};
  const nlohmann::json spec = parse_json(call_spec(program).in_spec, "in_spec");
  if (!spec.is_array() || spec.size() != 2) return {};
  const auto pickle = Pickler(program, tensors).write(spec[1]);
  if (!pickle) return {};
  MemoryWriter out;
  ZipWriter zip(out, "archive");
  zip.add("data.pkl", *pickle);
  zip.add("byteorder", std::string_view("little"));
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const at::Tensor dense = tensors[i].cpu().contiguous();
    zip.add("data/" + std::to_string(i), tensor_data(dense));
  }
  zip.add("version", std::string_view("3\n"));
  zip.finish();
  return out.take();
}

}  // namespace pollard::models::io::pt2
