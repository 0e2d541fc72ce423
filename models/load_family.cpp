// SPDX-License-Identifier: Apache-2.0
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/equal.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "graph/error.h"
#include "models/built_in.h"
#include "models/capture.h"
#include "models/io/text.h"
#include "models/name_pattern.h"
#include "models/registry.h"

namespace pollard::models {
namespace {

using kernels::Weights;

/// The first few of the names; those alike but for their counters are one.
std::string listed(const std::vector<std::string>& names, std::size_t longest) {
  std::vector<std::pair<std::string, int>> kinds;  // the first of a kind, and how many more there are
  std::map<std::string, std::size_t> places;
  for (const std::string& name : names)
    if (const auto [at, fresh] = places.emplace(name_pattern(name), kinds.size()); fresh)
      kinds.emplace_back(name, 0);
    else
      ++kinds[at->second].second;
  std::string out;
  for (std::size_t i = 0; i < std::min(kinds.size(), longest); ++i) {
    out += (i ? ", " : "") + io::printable(kinds[i].first);
    if (kinds[i].second > 0) out += " (+" + std::to_string(kinds[i].second) + " alike)";
  }
  if (kinds.size() > longest) out += " and " + std::to_string(kinds.size() - longest) + " more";
  return out;
}

/// What the configuration calls the network: timm's architecture or transformers' model_type; "" where neither is.
std::string called(std::string_view config_json) {
  const auto config = nlohmann::json::parse(config_json, nullptr, false);
  if (config.is_object())
    for (const char* field : {"architecture", "model_type"})
      if (const auto found = config.find(field); found != config.end() && found->is_string())
        return found->get<std::string>();
  return {};
}

std::string percent(double fraction) { return std::to_string(static_cast<int>(100 * fraction)) + " %"; }

std::string family_names() {
  std::string out;
  for (const Family& family : families()) out += (out.empty() ? "" : ", ") + family.name;
  return out;
}

UserError no_family(const std::vector<Match>& matches, std::string_view config_json) {
  const Match& best = matches.front();
  std::string nearest;
  for (std::size_t i = 0; i < std::min<std::size_t>(3, matches.size()); ++i)
    nearest += (i ? ", " : "") + matches[i].family->name + " (" + percent(matches[i].score()) + ")";
  std::string why = "nearest families by the share of names that match: " + nearest;
  if (!best.problem.empty()) why += "; its sizes are none of " + best.family->name + "'s: " + best.problem;
  if (!best.missing.empty()) why += "; missing for " + best.family->name + ": " + listed(best.missing, 10);
  if (!best.unexpected.empty()) why += "; not part of it: " + listed(best.unexpected, 10);
  const std::string name = called(config_json);
  return UserError({.code = "E0420",
                    .exit = Exit::Unsupported,
                    .message = "the tensors' names fit no built-in family",
                    .where = name.empty() ? "" : "config.json calls the network " + io::printable(name),
                    .why = why,
                    .help = "export it in Python and use the .pt2 file: torch.export.save("
                            "torch.export.export(model.eval(), (example,)), \"model.pt2\"); or name the "
                            "family and its sizes with --family and --spec"});
}

UserError wrong_shapes(const Match& match) {
  return UserError({.code = "E0422",
                    .exit = Exit::Unsupported,
                    .subject = match.family->name,
                    .message = "the names fit, but " + std::to_string(match.wrong_shapes.size()) +
                               " tensors have another shape",
                    .why = listed(match.wrong_shapes, 5),
                    .help = "give the network's specification with --spec, or a file that carries it"});
}

/// model_type of the Hugging Face configurations that are these families. Others have the same names too: RoBERTa
/// counts positions from another number, and would run as BERT with wrong results.
constexpr auto kModelTypes =
    std::to_array<std::pair<std::string_view, std::string_view>>({{"bert", "bert"},
                                                                  {"dinov2", "dinov2"},
                                                                  {"dinov2", "dinov2_with_registers"},
                                                                  {"gpt2", "gpt2"},
                                                                  {"gpt_neo", "gpt_neo"},
                                                                  {"gptj", "gptj"},
                                                                  {"llama", "llama"},
                                                                  {"llama", "mistral"},
                                                                  {"oneformer", "oneformer"}});

/// Refuses a configuration that says that the network is another than the one its names fit.
void check_model_type(const Family& family, std::string_view config_json) {
  const auto config = nlohmann::json::parse(config_json, nullptr, false);
  if (!config.is_object()) return;
  const auto type = config.find("model_type");
  if (type == config.end() || !type->is_string()) return;
  const std::string name = type->get<std::string>();
  const bool named =
      std::ranges::any_of(kModelTypes, [&](const auto& pair) { return pair.first == family.name; });
  const bool known = std::ranges::find(kModelTypes, std::pair<std::string_view, std::string_view>(
                                                        family.name, name)) != kModelTypes.end();
  const auto window = config.find("sliding_window");
  const bool slides = name == "mistral" && window != config.end() && window->is_number();
  if (!named || (known && !slides)) return;
  throw UserError(
      {.code = "E0420",
       .exit = Exit::Unsupported,
       .subject = "config.json",
       .message = "says model_type \"" + io::printable(name) + "\"" +
                  (slides ? " with a sliding window" : "") + ", which is no built-in family",
       .why = "the tensors' names fit " + family.name + ", but such a network computes something else",
       .help = "export the network with torch.export and use the .pt2 file; --family " + family.name +
               " insists"});
}

Shapes shapes_of(const Weights& tensors) {
  Shapes::Map map;
  for (const auto& [key, tensor] : tensors) map.emplace(key, tensor.sizes().vec());
  return Shapes(std::move(map), [&tensors](const std::string& a, const std::string& b) {
    const at::Tensor &left = tensors.at(a), &right = tensors.at(b);
    if (left.is_meta() || right.is_meta()) return false;  // only described: nothing says that they are equal
    return left.is_same(right) || (left.sizes() == right.sizes() && at::equal(left, right));
  });
}

/// The family the user named, or the one whose names and shapes all fit.
Match choose(const Shapes& shapes, const LoadOptions& options, std::string_view config_json) {
  if (shapes.map().empty())
    throw UserError({.code = "E0423",
                     .exit = Exit::Unsupported,
                     .message = "the file holds no weights",
                     .help = "save a state dict: torch.save(model.state_dict(), f)"});
  const std::string config = options.spec_json.empty() ? std::string(config_json) : options.spec_json;
  std::vector<Match> matches;
  if (options.family.empty()) {
    matches = recognise(shapes, config);
  } else {
    const Family* family = find_family(options.family);
    if (!family)
      throw UserError({.code = "E0420",
                       .exit = Exit::Unsupported,
                       .subject = io::printable(options.family),
                       .message = "is no built-in family",
                       .why = "there are " + family_names(),
                       .help = "pollard models tells what they are"});
    matches.push_back(options.spec_json.empty() ? match(*family, shapes, config)
                                                : match_as(*family, shapes, options.spec_json));
  }
  const Match& best = matches.front();
  if (best.spec_json.empty() || !best.missing.empty()) throw no_family(matches, config_json);
  // Tensors nobody would use are part of another network, unless the user insists on this one.
  if (!best.unexpected.empty() && options.family.empty()) throw no_family(matches, config_json);
  if (!best.wrong_shapes.empty()) throw wrong_shapes(best);
  if (options.family.empty()) check_model_type(*best.family, config_json);
  return best;
}

/// The file's names by the network's.
std::map<std::string, std::string> file_names(const Family& family, const Weights& tensors) {
  std::map<std::string, std::string> out;
  for (const auto& [key, tensor] : tensors)
    if (std::string name = network_key(family, key); !name.empty()) out.emplace(std::move(name), key);
  return out;
}

/// Gives the network the file's tensors, without copying them; what the constructor made follows their type.
void assign(Network& network, const Weights& tensors, const std::map<std::string, std::string>& names) {
  at::ScalarType floating = at::kFloat;
  for (const auto& entry : network.entries())
    if (const auto name = names.find(entry.key); name != names.end() && entry.tied_to.empty()) {
      entry.tensor() = tensors.at(name->second);
      if (entry.is_parameter()) floating = entry.tensor().scalar_type();
    }
  for (const auto& entry : network.entries())
    if (!entry.is_parameter() && !names.contains(entry.key) && entry.tensor().is_floating_point())
      entry.tensor() = entry.tensor().to(floating);
}

/// Calls every tensor of the captured program by its name in the file. Tied names the file leaves out go.
void use_file_names(Captured& captured, const std::map<std::string, std::string>& names) {
  auto& inputs = captured.program.inputs;
  std::erase_if(inputs, [&](const graph::Input& input) {
    return !input.tied_to.empty() && !names.contains(input.source);
  });
  const auto renamed = [&](const std::string& name) {
    const auto found = names.find(name);
    return found == names.end() ? name : found->second;
  };
  Weights weights;
  for (graph::Input& input : inputs) {
    if (input.kind == graph::Input::Kind::User) continue;
    const at::Tensor tensor = captured.weights.at(input.source);
    input.source = renamed(input.source);
    if (!input.tied_to.empty()) input.tied_to = renamed(input.tied_to);
    weights[input.source] = tensor;
  }
  captured.weights = std::move(weights);
}

Model to_model(const Family& family, std::string spec_json, Network& network, Captured captured) {
  Model model;
  model.program = std::move(captured.program);
  model.weights = std::move(captured.weights);
  model.family = family.name;
  model.spec_json = std::move(spec_json);
  for (const auto& entry : network.entries())
    if (entry.is_parameter() && entry.tensor().is_floating_point()) {
      for (at::Tensor& input : model.sample_inputs = network.example_inputs())
        if (input.is_floating_point()) input = input.to(entry.tensor().scalar_type());
      break;
    }
  return model;
}

}  // namespace

Model load_family(Weights tensors, const LoadOptions& options, std::string_view config_json) {
  const Match chosen = choose(shapes_of(tensors), options, config_json);
  const auto network = chosen.family->build(chosen.spec_json);
  const auto names = file_names(*chosen.family, tensors);
  assign(*network, tensors, names);
  Captured captured = capture(*network);
  use_file_names(captured, names);
  return to_model(*chosen.family, chosen.spec_json, *network, std::move(captured));
}

Model weightless_model(const Family& family, std::string_view spec_json) {
  const std::string spec = family.complete(spec_json);
  const auto network = family.build(spec);
  Model model = to_model(family, spec, *network, capture(*network));
  model.format = "built-in";
  return model;
}

Model fresh_model(const Family& family, std::string_view spec_json, std::uint64_t seed) {
  const std::string spec = family.complete(spec_json);
  const auto network = family.build(spec);
  network->initialise(at::make_generator<at::CPUGeneratorImpl>(seed));
  return to_model(family, spec, *network, capture(*network));
}

}  // namespace pollard::models
