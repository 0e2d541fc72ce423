// SPDX-License-Identifier: Apache-2.0
#include "training/checkpoint.h"

#include <nlohmann/json.hpp>

#include "graph/error.h"
#include "models/io/cancel.h"
#include "models/io/json.h"
#include "models/io/safetensors.h"
#include "models/io/stored_program.h"

namespace pollard::training {
namespace {

namespace io = models::io;
using nlohmann::json;

constexpr const char* kState = "pollard.training";

template <class Map>
void put(io::TensorMap& tensors, const std::string& prefix, const Map& map) {
  for (const auto& [name, tensor] : map) tensors[prefix + name] = tensor.detach().cpu();
}

std::map<std::string, at::Tensor> take(io::TensorMap& tensors, const std::string& prefix) {
  std::map<std::string, at::Tensor> out;
  for (auto it = tensors.lower_bound(prefix); it != tensors.end() && it->first.starts_with(prefix);) {
    out[it->first.substr(prefix.size())] = it->second;
    it = tensors.erase(it);
  }
  return out;
}

json state_of(const Checkpoint& c) {
  return {{"epoch", c.epoch},
          {"batch", c.batch},
          {"step", c.step},
          {"optimiser_steps", c.optimiser_steps},
          {"pruned", c.pruned},
          {"best", c.best},
          {"has_best", c.has_best},
          {"family", c.model.family},
          {"spec", c.model.spec_json},
          {"format", c.model.format},
          {"sha256", c.model.sha256},
          {"metadata", c.model.metadata},
          {"fingerprint", c.fingerprint}};
}

[[noreturn]] void foreign(const std::filesystem::path& path, const std::string& message) {
  throw UserError(
      {.code = "E0385",
       .exit = Exit::BadFile,
       .subject = path.filename().string(),
       .message = message,
       .where = {},
       .why = "a run is continued only as if it had never stopped",
       .help = "give the options and the model it was started with, or start again without --resume"});
}

void read_state(const json& state, Checkpoint& c) {
  c.epoch = state.at("epoch").get<std::int64_t>();
  c.batch = state.at("batch").get<std::int64_t>();
  c.step = state.at("step").get<std::int64_t>();
  c.optimiser_steps = state.at("optimiser_steps").get<std::int64_t>();
  c.pruned = state.at("pruned").get<std::int64_t>();
  c.best = state.at("best").get<double>();
  c.has_best = state.at("has_best").get<bool>();
  c.model.family = state.at("family").get<std::string>();
  c.model.spec_json = state.at("spec").get<std::string>();
  c.model.format = state.at("format").get<std::string>();
  c.model.sha256 = state.at("sha256").get<std::string>();
  c.model.metadata = state.at("metadata").get<std::map<std::string, std::string>>();
  c.fingerprint = state.at("fingerprint").get<std::string>();
}

/// Weights as a stored program wants them: constants under their prefix.
io::TensorMap weights_of(const models::Model& model) {
  io::TensorMap tensors;
  for (const graph::Input& input : model.program.inputs) {
    if (input.kind == graph::Input::Kind::User || input.constant) continue;
    const bool kept = input.kind == graph::Input::Kind::Parameter ||
                      (input.kind == graph::Input::Kind::Buffer && input.persistent);
    tensors[(kept ? "" : io::kStoredConstant) + input.source] = model.weights.at(input.source).detach();
  }
  return tensors;
}

}  // namespace

void save_checkpoint(const Checkpoint& c, const std::filesystem::path& path) {
  io::TensorMap tensors;
  put(tensors, "weight/", weights_of(c.model));
  put(tensors, "average/", c.average);
  for (const auto& [kind, state] : c.optimiser) put(tensors, "optimiser/" + kind + "/", state);
  put(tensors, "sparsity/", c.sparsity);
  put(tensors, "kept/", c.kept);
  if (c.metrics.defined()) tensors["metrics"] = c.metrics;
  const io::TextMap metadata{{io::kStoredProgram, io::stored_program(c.model.program)},
                             {kState, state_of(c).dump()}};
  const io::HoldCancel until_saved;
  io::save_safetensors(path, tensors, metadata, /*force=*/true);
}

Checkpoint load_checkpoint(const std::filesystem::path& path, const std::string& fingerprint) {
  std::error_code error;
  if (!std::filesystem::exists(path, error))
    throw UserError({.code = "E0214",
                     .exit = Exit::Usage,
                     .subject = "--resume",
                     .message = "there is no checkpoint " + path.filename().string(),
                     .help = "start without --resume; a checkpoint is written after every epoch"});
  const io::SafetensorsReader reader(io::open_file(path));
  const auto state = reader.metadata().find(kState), program = reader.metadata().find(io::kStoredProgram);
  if (state == reader.metadata().end() || program == reader.metadata().end())
    foreign(path, "is no checkpoint of a training run");
  io::TensorMap tensors = reader.read_all();
  Checkpoint out;
  out.model = io::read_stored_program(program->second, take(tensors, "weight/"), path.filename().string());
  try {
    read_state(io::parse_json(state->second, path.filename().string()), out);
  } catch (const json::exception&) {
    foreign(path, "its description of the run does not read");
  }
  if (out.fingerprint != fingerprint)
    foreign(path, "belongs to a run with other options: " + out.fingerprint + ", asked for: " + fingerprint);
  out.average = take(tensors, "average/");
  out.sparsity = take(tensors, "sparsity/");
  out.kept = take(tensors, "kept/");
  for (const char* kind : {"momentum", "mean", "square"})
    if (auto found = take(tensors, "optimiser/" + std::string(kind) + "/"); !found.empty())
      out.optimiser[kind] = std::move(found);
  if (const auto found = tensors.find("metrics"); found != tensors.end()) out.metrics = found->second;
  return out;
}

}  // namespace pollard::training
