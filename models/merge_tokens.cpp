// SPDX-License-Identifier: Apache-2.0
#include "models/merge_tokens.h"

#include <ATen/ops/linalg_vector_norm.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "graph/error.h"
#include "kernels/executor.h"
#include "models/layers/token_merging.h"
#include "models/registry.h"

namespace pollard::models {
namespace {

using Json = nlohmann::json;

constexpr double kSame = 1e-4;  ///< float32 programs of the same network, in another order of operations

[[noreturn]] void refuse(const std::string& message, const std::string& why, const std::string& help) {
  throw UserError({.code = "E0442",
                   .exit = Exit::Unsupported,
                   .subject = "--merge-tokens",
                   .message = message,
                   .where = {},
                   .why = why,
                   .help = help});
}

bool merges(const Family& family) {
  const Json spec = Json::parse(family.complete(""));
  return spec.contains("r") && spec.contains("prop_attn");
}

std::string listed(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : ", ") + name;
  return out;
}

/// What a state dict would hold.
kernels::Weights state_dict(const Model& model) {
  kernels::Weights out;
  for (const graph::Input& input : model.program.inputs)
    if (input.kind == graph::Input::Kind::Parameter ||
        (input.kind == graph::Input::Kind::Buffer && input.persistent))
      out.emplace(input.source, model.weights.at(input.source));
  return out;
}

/// The family's network with the model's tensors, as it is without merging.
Model rebuilt(const Model& model, const std::string& spec_json) {
  LoadOptions options{.family = model.family, .spec_json = spec_json};
  if (options.spec_json.empty()) options.spec_json = model.spec_json;
  try {
    Model out = load_family(state_dict(model), options);
    if (const Family* family = find_family(out.family); !merges(*family))
      refuse("networks of the family " + out.family + " have no tokens to merge",
             "token merging is built into " + listed(token_merging_families()),
             "pollard prune makes any network smaller");
    return out;
  } catch (const UserError& error) {
    if (error.parts().code == "E0442" || error.parts().code == "E0414") throw;
    refuse("this network cannot be rebuilt with merging in it",
           error.parts().message + (error.parts().why.empty() ? "" : ": " + error.parts().why),
           "a pruned network has widths of its own: merge tokens in the original, then prune the result");
  }
}

std::vector<at::Tensor> outputs(const Model& model, const std::vector<at::Tensor>& inputs) {
  return kernels::Executor(model.program).run(model.weights, inputs);
}

/// |a - b| / |b| over all values of the first results; both networks have the same ones.
double difference(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  double apart = 0, size = 0;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    const auto norm = [](const at::Tensor& t) { return at::linalg_vector_norm(t).item<double>(); };
    if (a[i].sizes() != b[i].sizes() || !a[i].is_floating_point()) return 1;
    apart = std::max(apart, norm(a[i].to(at::kDouble).sub(b[i].to(at::kDouble))));
    size = std::max(size, norm(b[i].to(at::kDouble)));
  }
  return size > 0 ? apart / size : apart;
}

std::vector<std::int64_t> schedule_of(const Json& spec, const MergeOptions& options) {
  const std::int64_t layers = spec.contains("depth") ? spec.at("depth").get<std::int64_t>()
                                                     : spec.at("num_layers").get<std::int64_t>();
  return merge_schedule(options.r, options.inflect, layers);
}

}  // namespace

std::vector<std::string> token_merging_families() {
  std::vector<std::string> names;
  for (const Family& family : families())
    if (merges(family)) names.push_back(family.name);
  return names;
}

MergedTokens merge_tokens(const Model& model, const MergeOptions& options) {
  const Model plain = rebuilt(model, options.spec_json);
  const std::vector<at::Tensor> inputs =
      model.sample_inputs.empty() ? plain.sample_inputs : model.sample_inputs;
  const std::vector<at::Tensor> before = outputs(model, inputs);
  if (const double apart = difference(outputs(plain, inputs), before); !(apart <= kSame))
    refuse(
        "the family's network does not compute what this file computes",
        "with the sizes its tensors show, the outputs differ by " + std::to_string(apart) + " of their size",
        "the number of heads shows in no shape: give it with --spec");

  Json spec = Json::parse(plain.spec_json);
  MergedTokens out{.model = {}, .schedule = schedule_of(spec, options)};
  spec["r"] = out.schedule;
  out.model = load_family(state_dict(model), {.family = plain.family, .spec_json = spec.dump()});
  out.output_change = difference(outputs(out.model, inputs), before);
  out.model.sample_inputs = inputs;
  out.model.metadata = model.metadata;
  out.model.metadata.erase("pollard.plan");  // it names another network
  out.model.metadata["pollard.compress"] = Json{
      {"form", "token merging"},
      {"r", options.r},
      {"inflect", options.inflect},
      {"schedule", out.schedule},
      {"input_sha256", model.sha256}}.dump();
  return out;
}

}  // namespace pollard::models
