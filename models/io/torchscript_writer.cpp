// SPDX-License-Identifier: Apache-2.0
#include "models/io/torchscript_writer.h"

#include <ATen/ops/zeros.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/ir/ir.h>

#include <map>
#include <sstream>

#include "graph/error.h"
#include "kernels/op_call.h"
#include "models/checks.h"
#include "models/io/atomic_file.h"

namespace pollard::models::io {
namespace {

namespace jit = torch::jit;
using graph::ValueId;

/// Modules nested as dotted names say; each has a class of its own.
class ModuleTree {
 public:
  ModuleTree() : root_("__torch__.Network") {}
  jit::Module& root() { return root_; }

  void add(const graph::Input& input, const at::Tensor& tensor) {
    const auto [folder, name] = split(input.source);
    jit::Module owner = module(folder);
    if (input.kind == graph::Input::Kind::Parameter)
      owner.register_parameter(name, tensor.detach().set_requires_grad(tensor.is_floating_point()), false);
    else
      owner.register_buffer(name, tensor.detach());
  }

  static std::pair<std::string, std::string> split(const std::string& source) {
    const auto dot = source.rfind('.');
    return dot == std::string::npos ? std::pair(std::string(), source)
                                    : std::pair(source.substr(0, dot), source.substr(dot + 1));
  }

 private:
  jit::Module module(const std::string& path) {
    if (path.empty()) return root_;
    if (const auto found = made_.find(path); found != made_.end()) return found->second;
    const auto [folder, name] = split(path);
    jit::Module parent = module(folder);
    const std::string type = "__torch__.Part" + std::to_string(made_.size());
    jit::Module child(c10::QualifiedName(type), root_._ivalue()->compilation_unit());
    parent.register_module(name, child);
    return made_.emplace(path, child).first->second;
  }

  jit::Module root_;
  std::map<std::string, jit::Module> made_;
};

class ScriptWriter {
 public:
  explicit ScriptWriter(const Model& model) : program_(without_checks(model.program)) {
    for (const graph::Input& input : program_.inputs)
      if (input.kind != graph::Input::Kind::User) tree_.add(input, model.weights.at(input.source));
  }

  jit::Module run() {
    self_ = graph_->addInput("self");
    self_->setType(tree_.root().type());
    for (const graph::Value& value : program_.values)
      dummies_.push_back(value.kind == graph::Value::Kind::Tensor ? c10::IValue(at::zeros({}))
                                                                  : c10::IValue(std::int64_t{1}));
    for (const graph::Input& input : program_.inputs) bind(input);
    for (const graph::Op& op : program_.ops) translate(op);
    finish();
    return tree_.root();
  }

 private:
  void bind(const graph::Input& input) {
    if (input.constant) return;
    if (input.kind == graph::Input::Kind::User) {
      jit::Value* value = graph_->addInput();
      const bool tensor = program_[input.value].kind == graph::Value::Kind::Tensor;
      value->setType(tensor ? c10::TypePtr(c10::TensorType::get()) : c10::TypePtr(c10::IntType::get()));
      values_[input.value.index] = value;
      return;
    }
    jit::Value* owner = self_;
    std::string rest = input.source;
    for (auto dot = rest.find('.'); dot != std::string::npos; dot = rest.find('.')) {
      owner = attribute(owner, rest.substr(0, dot));
      rest.erase(0, dot + 1);
    }
    values_[input.value.index] = attribute(owner, rest);
  }

  jit::Value* attribute(jit::Value* owner, const std::string& name) {
    return graph_->insertNode(graph_->createGetAttr(owner, name))->output();
  }

  jit::Value* of(const graph::Arg& arg) { return values_.at(arg.as<ValueId>()->index); }

  jit::Value* argument(const graph::Arg* given, const c10::Argument& schema, const c10::IValue& constant) {
    if (!given || graph::values_in(*given).empty()) return graph_->insertConstant(constant);
    if (given->as<ValueId>()) return of(*given);
    std::vector<jit::Value*> items;
    c10::TypePtr type = schema.type();
    if (const auto optional = type->cast<c10::OptionalType>()) type = optional->getElementType();
    const c10::TypePtr element = type->expectRef<c10::ListType>().getElementType();
    for (const graph::Arg& item : *given->as<graph::Arg::List>())
      items.push_back(item.as<ValueId>() ? of(item) : literal(item));
    return graph_->insertNode(graph_->createList(element, items))->output();
  }

  jit::Value* literal(const graph::Arg& item) {
    if (const auto* number = item.as<std::int64_t>()) return graph_->insertConstant(*number);
    if (const auto* number = item.as<double>()) return graph_->insertConstant(*number);
    return graph_->insertConstant(c10::IValue());
  }

  void translate(const graph::Op& op) {
    const kernels::OpCall call(op, program_);
    if (!call.schema()) return on_sizes(op);
    if (op.target.starts_with("aten.sym_size")) return size(op);
    const c10::FunctionSchema& schema = *call.schema();
    const kernels::Stack constants = call.arguments(dummies_, {});
    std::vector<jit::Value*> inputs;
    for (std::size_t i = 0; i < schema.arguments().size(); ++i)
      inputs.push_back(argument(op.find(schema.arguments()[i].name()), schema.arguments()[i], constants[i]));
    jit::Node* node =
        graph_->create(c10::Symbol::fromQualString(schema.name()), inputs, schema.returns().size());
    for (std::size_t i = 0; i < schema.returns().size(); ++i)
      node->outputs()[i]->setType(schema.returns()[i].type());
    graph_->insertNode(node);
    if (schema.returns().size() == 1 && schema.returns()[0].type()->kind() == c10::TypeKind::ListType)
      node = graph_->insertNode(graph_->createListUnpack(node->output(), op.outputs.size()));
    for (std::size_t i = 0; i < op.outputs.size(); ++i) values_[op.outputs[i].index] = node->outputs()[i];
  }

  void size(const graph::Op& op) {
    jit::Node* node = graph_->create(c10::Symbol::fromQualString("aten::size"),
                                     {of(*op.find("self")), literal(*op.find("dim"))}, 1);
    integer(op, node);
  }

  void on_sizes(const graph::Op& op) {
    static const std::map<std::string, std::string> names{{"_operator.add", "aten::add"},
                                                          {"_operator.sub", "aten::sub"},
                                                          {"_operator.mul", "aten::mul"},
                                                          {"_operator.mod", "aten::remainder"},
                                                          {"_operator.floordiv", "aten::floordiv"}};
    const auto name = names.find(op.target);
    if (name == names.end())
      throw UserError({.code = "E0473",
                       .exit = Exit::Unsupported,
                       .subject = op.target,
                       .message = "cannot be written as TorchScript",
                       .help = "write .pt2, which PyTorch names as the format that follows it"});
    std::vector<jit::Value*> inputs;
    for (const graph::NamedArg& named : op.args)
      inputs.push_back(named.arg.as<ValueId>() ? of(named.arg) : literal(named.arg));
    integer(op, graph_->create(c10::Symbol::fromQualString(name->second), inputs, 1));
  }

  void integer(const graph::Op& op, jit::Node* node) {
    graph_->insertNode(node)->output()->setType(c10::IntType::get());
    values_[op.outputs.at(0).index] = node->output();
  }

  void finish() {
    std::vector<jit::Value*> outputs;
    for (const graph::Output& output : program_.outputs)
      if (output.value.as<ValueId>() && output.kind == graph::Output::Kind::User)
        outputs.push_back(of(output.value));
    graph_->registerOutput(outputs.size() == 1 ? outputs[0]
                                               : graph_->insertNode(graph_->createTuple(outputs))->output());
    jit::Module& root = tree_.root();
    auto* function = root._ivalue()->compilation_unit()->create_function(
        c10::QualifiedName(*root.type()->name(), "forward"), graph_);
    root.type()->addMethod(function);
  }

  graph::Program program_;
  ModuleTree tree_;
  std::shared_ptr<jit::Graph> graph_ = std::make_shared<jit::Graph>();
  jit::Value* self_ = nullptr;
  std::map<std::int32_t, jit::Value*> values_;
  kernels::Slots dummies_;
};

}  // namespace

void save_torchscript(const Model& model, const std::filesystem::path& path, bool force) {
  std::ostringstream bytes;
  ScriptWriter(model).run().save(bytes);
  const std::string text = std::move(bytes).str();
  write_file(path, std::as_bytes(std::span(text)), force);
}

}  // namespace pollard::models::io
