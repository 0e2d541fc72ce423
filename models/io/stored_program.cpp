// SPDX-License-Identifier: Apache-2.0
#include "models/io/stored_program.h"

#include "graph/error.h"
#include "models/io/json.h"
#include "models/io/json_reader.h"
#include "models/io/pt2_graph_reader.h"
#include "models/io/pt2_graph_writer.h"

namespace pollard::models::io {
namespace {

bool in_state_dict(const graph::Input& input) {
  return input.kind == graph::Input::Kind::Parameter ||
         (input.kind == graph::Input::Kind::Buffer && input.persistent);
}

void restore_ties(graph::Program& program, const nlohmann::json& ties) {
  for (graph::Input& input : program.inputs)
    if (const auto found = ties.find(input.source); found != ties.end() && found->is_string())
      input.tied_to = *found;
  // A tie names an earlier weight of the same shape and type, or the file was edited.
  for (graph::Input& input : program.inputs) {
    const graph::Input* target = input.tied_to.empty() ? nullptr : program.find_input(input.tied_to);
    const bool earlier = target && target < &input && target->tied_to.empty() && !target->constant &&
                         target->kind != graph::Input::Kind::User;
    if (!earlier || program[target->value].sizes() != program[input.value].sizes() ||
        program[target->value].dtype != program[input.value].dtype)
      input.tied_to.clear();
  }
}

[[noreturn]] void misfit(const std::string& subject, const std::string& name, const std::string& message) {
  throw UserError({.code = "E0361",
                   .exit = Exit::BadFile,
                   .subject = subject,
                   .message = "tensor " + name + " " + message,
                   .where = std::string("metadata ") + kStoredProgram,
                   .why = "the program inside the file and its tensors belong to different models",
                   .help = "prune the original again"});
}

at::Tensor take(TensorMap& tensors, const graph::Program& program, const graph::Input& input,
                const std::string& subject) {
  const auto found = tensors.find(in_state_dict(input) ? input.source : kStoredConstant + input.source);
  if (found == tensors.end()) misfit(subject, input.source, "is missing");
  const graph::Value& value = program[input.value];
  if (found->second.sizes() != at::IntArrayRef(value.sizes()))
    misfit(subject, input.source, "has another shape than the program says");
  if (kernels::from_scalar_type(found->second.scalar_type()) != value.dtype)
    misfit(subject, input.source, "has another element type than the program says");
  return found->second;
}

}  // namespace

std::string stored_program(const graph::Program& program) {
  pt2::OrderedJson ties = pt2::OrderedJson::object();
  for (const graph::Input& input : program.inputs)
    if (!input.tied_to.empty()) ties[input.source] = input.tied_to;
  return pt2::OrderedJson{{"schema", "pollard.program/1"},
                          {"exported_program", pt2::GraphWriter(program).exported_program()},
                          {"ties", ties}}
      .dump();
}

Model read_stored_program(const std::string& text, TensorMap tensors, const std::string& subject) {
  const nlohmann::json json = parse_json(text, subject, 256);
  JsonReader reader(subject, kStoredProgram);
  if (!json.is_object() || !json.contains("exported_program"))
    throw UserError({.code = "E0360",
                     .exit = Exit::BadFile,
                     .subject = subject,
                     .message = "the program inside the file cannot be read",
                     .where = std::string("metadata ") + kStoredProgram,
                     .why = {},
                     .help = "prune the original again"});
  const Json program = json["exported_program"];
  Model model{.program = pt2::GraphReader(reader, program).read()};
  restore_ties(model.program, json.value("ties", nlohmann::json::object()));
  for (const graph::Input& input : model.program.inputs) {
    if (input.constant || input.kind == graph::Input::Kind::User) continue;
    model.weights[input.source] = input.tied_to.empty() ? take(tensors, model.program, input, subject)
                                                        : model.weights.at(input.tied_to);
  }
  graph::check(model.program);
  return model;
}

}  // namespace pollard::models::io
