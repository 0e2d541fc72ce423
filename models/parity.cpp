// SPDX-License-Identifier: Apache-2.0
#include "models/parity.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/linalg_vector_norm.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "graph/cost.h"
#include "graph/dependencies.h"
#include "graph/error.h"
#include "models/capture.h"
#include "models/golden_fill.h"
#include "models/io/bytes.h"
#include "models/io/file.h"
#include "models/registry.h"

namespace pollard::models {
namespace {

using Json = nlohmann::json;
using Status = ParityResult::Status;
using Shape = std::vector<std::int64_t>;

bool matches(std::string_view pattern, std::string_view arch) {
  if (!pattern.ends_with('*')) return pattern == arch;
  return arch.starts_with(pattern.substr(0, pattern.size() - 1));
}

Shapes shapes_of(const Json& keys) {
  Shapes::Map map;
  for (const auto& [key, shape] : keys.items()) map.emplace(key, shape.get<Shape>());
  return Shapes(std::move(map));
}

/// By the golden's arch name; otherwise, since some goldens use file names there, by its keys.
const Family* family_of(std::string_view arch, const Shapes& keys) {
  for (const Family& family : families())
    for (const std::string& pattern : family.golden_archs)
      if (matches(pattern, arch)) return &family;
  const auto candidates = recognise(keys);
  const bool fits =
      !candidates.empty() && !candidates.front().spec_json.empty() && candidates.front().score() == 1;
  return fits ? candidates.front().family : nullptr;
}

at::Tensor filled(const std::string& key, const Shape& shape, bool gains_are_one) {
  const at::Tensor value = golden_parameter(key, shape);
  const bool gain = key.substr(key.rfind('.') + 1).find("gain") != std::string::npos;
  return gains_are_one && gain ? value.add(1) : value;
}

bool is_running_statistic(const std::string& key) {
  return key.ends_with("running_mean") || key.ends_with("running_var");
}

/// Fills every key the golden lists, in whichever of the family's layouts, and notes what differs between its names
/// and the network's.
std::string fill(const Family& family, Network& network, const Json& golden, const Shapes& keys,
                 ParityResult& result) {
  std::map<std::string, Module::Slot*> slots;
  std::set<const Module::Slot*> open;
  for (const auto& entry : network.entries()) {
    slots[entry.key] = entry.slot;
    const bool filled_by_rule = entry.is_parameter() || is_running_statistic(entry.key);
    if (filled_by_rule && entry.tensor().is_floating_point()) open.insert(entry.slot);
  }
  // Tied names are slots of their own over one tensor.
  std::set<const at::Tensor*> done;
  const Json config = golden.value("config", Json::object());
  const bool gains_are_one = config.is_object() && config.value("gain_rule", "") == "1+fill";
  std::string problem;
  for (const auto& [key, shape] : keys.map()) {
    const auto found = slots.find(network_key(family, key));
    if (found == slots.end()) {
      problem += " no " + key + ";";
    } else if (found->second->tensor->sizes() != at::IntArrayRef(shape)) {
      problem += " shape of " + key + ";";
    } else {
      *found->second->tensor = filled(key, shape, gains_are_one);
      done.insert(found->second->tensor);
      ++result.keys_matched;
    }
  }
  result.keys = keys.map().size();
  for (const Module::Slot* slot : open)
    if (!done.contains(slot->tensor)) problem += " extra " + slot->name + ";";
  return problem;
}

/// Persistent buffers belong to the state dict too; only goldens that tell them from the others can be
/// checked.
std::string check_buffers(Network& network, const Json& golden) {
  if (!golden.contains("non_persistent_buffers") || !golden.contains("buffers")) return {};
  const auto skipped = golden.at("non_persistent_buffers").get<std::set<std::string>>();
  std::map<std::string, Shape> have;
  for (const auto& entry : network.entries()) have[entry.key] = entry.tensor().sizes().vec();
  std::string problem;
  for (const auto& [key, shape] : golden.at("buffers").items()) {
    if (skipped.contains(key)) continue;
    const auto found = have.find(key);
    if (found == have.end() || found->second != shape.get<Shape>()) problem += " buffer " + key + ";";
  }
  return problem;
}

std::vector<at::Tensor> inputs_of(const Family& family, const Json& golden, std::string_view text) {
  std::vector<at::Tensor> inputs;
  for (std::size_t i = 0; const Json& input : golden.at("inputs")) {
    const std::string name = "input:" + std::to_string(i++);
    const auto shape = input.at("shape").get<Shape>();
    if (input.at("kind") == "int")
      inputs.push_back(golden_ids(name, shape, input.at("vocab").get<std::int64_t>()));
    else
      inputs.push_back(golden_unit(name, shape));
    if (input.contains("scale")) inputs.back().mul_(input.at("scale").get<double>());
  }
  return family.golden_inputs ? family.golden_inputs(std::move(inputs), text) : inputs;
}

std::vector<std::string> tap_names(const Family& family, const Json& golden, std::string_view text) {
  std::vector<std::string> names;
  if (golden.contains("output_names")) {
    names = golden.at("output_names").get<std::vector<std::string>>();
    names.front() = "output";
  } else {
    if (family.golden_taps) names = family.golden_taps(text);
    if (names.size() < golden.at("outputs").size()) names.insert(names.begin(), "output");
  }
  return names;
}

/// A tap by its name: equal, or the golden's name goes on after it: "stem" for "stem (after relu)".
const at::Tensor* find_tap(const TapRecorder& recorder, const Result& result, const std::string& name) {
  if (name == "output") return &result.first();
  for (std::size_t i = 1; i < result.items().size(); ++i)
    if (name == "output:" + std::to_string(i)) return &result.items()[i].second;
  for (const auto& [tap, value] : recorder.taps())
    if (name == tap) return &value;
  const at::Tensor* best = nullptr;
  std::size_t longest = 0;
  for (const auto& [tap, value] : recorder.taps())
    if (name.starts_with(tap + " ") && tap.size() >= longest) best = &value, longest = tap.size();
  return best;
}

ParityResult::Tap compare(const at::Tensor& value, const Json& reference, double tolerance) {
  ParityResult::Tap tap;
  if (value.sizes() != at::IntArrayRef(reference.at("shape").get<Shape>())) {
    tap.problem = "shape " + c10::str(value.sizes());
    return tap;
  }
  const at::Tensor flat = value.to(at::kDouble).contiguous().flatten();
  const double* data = flat.const_data_ptr<double>();
  const auto index = reference.at("index").get<Shape>();
  const auto expected = reference.at("value").get<std::vector<double>>();
  for (std::size_t i = 0; i < index.size(); ++i) {
    const double error = std::abs(data[index[i]] - expected[i]);
    tap.error = std::isfinite(error) ? std::max(tap.error, error) : std::numeric_limits<double>::infinity();
    tap.largest = std::max(tap.largest, std::abs(expected[i]));
  }
  tap.tolerance = std::max(tolerance, 1e-5 * tap.largest);
  // Both follow from the bound on every element, recorded or not.
  const auto count = static_cast<double>(flat.numel());
  const double l2 = at::linalg_vector_norm(flat, 2).item<double>(), sum = flat.sum().item<double>();
  if (!(std::abs(l2 - reference.at("l2").get<double>()) <= tap.tolerance * std::sqrt(count)))
    tap.problem = "l2 norm";
  if (!(std::abs(sum - reference.at("sum").get<double>()) <= tap.tolerance * count)) tap.problem = "sum";
  return tap;
}

double reference_rounding(const Json& golden, std::size_t i) {
  const Json& all = golden.value("f32_vs_f64", Json());
  if (!all.is_array() || i >= all.size() || !all[i].contains("max_abs_diff")) return 0;
  return all[i].at("max_abs_diff").get<double>();
}

void compare_outputs(const Json& golden, const std::vector<std::string>& names, const TapRecorder& recorder,
                     const Result& output, const ParityOptions& options, ParityResult& result) {
  const Json& references =
      golden.at(result.float64 && golden.contains("outputs_f64") ? "outputs_f64" : "outputs");
  for (std::size_t i = 0; i < references.size(); ++i) {
    const std::string name = i < names.size() ? names[i] : "output " + std::to_string(i);
    const at::Tensor* value = find_tap(recorder, output, name);
    ParityResult::Tap tap;
    if (value)
      tap = compare(*value, references[i], result.float64 ? 0 : 20 * reference_rounding(golden, i));
    else
      tap.problem = "not recorded by the network";
    if (options.tolerance > 0) tap.tolerance = options.tolerance * tap.largest;
    tap.name = name;
    result.taps.push_back(std::move(tap));
  }
}

std::int64_t count_macs(Network& network, const std::vector<at::Tensor>& inputs) {
  try {
    const graph::Program program = trace_shapes(network, inputs);
    const graph::Dependencies dependencies = graph::analyse(program);
    return graph::CostModel(program, dependencies).macs(graph::full_widths(dependencies));
  } catch (const UserError&) {  // a network whose course depends on data has no fixed count
    return -1;
  }
}

void run(const Family& family, const Json& golden, std::string_view text, const ParityOptions& options,
         ParityResult& result) {
  const Shapes keys = shapes_of(golden.at("keys"));
  const auto network =
      family.build(spec_from(family, keys, golden.value("config", Json::object()).dump(), result.arch));
  result.problem = fill(family, *network, golden, keys, result) + check_buffers(*network, golden);
  result.parameters = network->parameter_count();
  result.parameters_expected = golden.at("parameters").get<std::int64_t>();
  if (result.parameters != result.parameters_expected) result.problem += " parameter count;";
  if (!result.problem.empty()) return;

  auto inputs = inputs_of(family, golden, text);
  result.macs = count_macs(*network, inputs);
  if (golden.contains("macs") && golden.at("macs").is_number_integer())
    result.macs_expected = golden.at("macs").get<std::int64_t>();
  result.float64 = options.float64 || golden.contains("outputs_f64");
  if (result.float64) {
    network->to(at::kDouble);
    for (at::Tensor& input : inputs)
      if (input.is_floating_point()) input = input.to(at::kDouble);
  }
  const at::NoGradGuard no_grad;
  const TapRecorder recorder;
  const Result output = network->forward(inputs);
  compare_outputs(golden, tap_names(family, golden, text), recorder, output, options, result);
  const bool all = std::ranges::all_of(result.taps, [](const auto& tap) { return tap.passed(); });
  if (all && !result.taps.empty()) result.status = Status::Passed;
}

/// `given`: the family to check, whatever the golden's arch says; null looks for one among the built-in ones.
ParityResult check(const Family* given, std::string_view text, std::string_view name,
                   const ParityOptions& options) {
  ParityResult result;
  result.golden = name;
  const Json golden = Json::parse(text, nullptr, false);
  if (golden.is_discarded())
    throw UserError({.code = "E0370",
                     .exit = Exit::BadFile,
                     .subject = result.golden,
                     .message = "is not JSON",
                     .where = {},
                     .why = {},
                     .help = "goldens are described in tests/golden/README.md"});
  result.arch = golden.value("arch", "");
  for (const char* field : {"keys", "inputs", "outputs", "parameters"})
    if (!golden.contains(field)) {
      result.status = Status::NotAGolden;
      result.problem = std::string("has no field ") + field;
      return result;
    }
  const Family* family = given ? given : family_of(result.arch, shapes_of(golden.at("keys")));
  if (!family) {
    result.status = Status::NotBuiltIn;
    result.problem = "architecture " + result.arch + " is not built in";
    return result;
  }
  result.family = family->name;
  run(*family, golden, text, options, result);
  return result;
}

std::string read_golden(const std::filesystem::path& path) {
  const std::vector<std::byte> bytes = io::read_file(path);
  return std::string(io::as_text(bytes));
}

}  // namespace

double ParityResult::largest_relative_error() const {
  double largest = 0;
  for (const Tap& tap : taps) largest = std::max(largest, tap.relative());
  return largest;
}

ParityResult check_golden(std::string_view text, std::string_view name, const ParityOptions& options) {
  return check(nullptr, text, name, options);
}

ParityResult check_golden(const std::filesystem::path& path, const ParityOptions& options) {
  return check(nullptr, read_golden(path), path.stem().string(), options);
}

ParityResult check_golden(const Family& family, const std::filesystem::path& path,
                          const ParityOptions& options) {
  return check(&family, read_golden(path), path.stem().string(), options);
}

}  // namespace pollard::models
