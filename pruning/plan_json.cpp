// SPDX-License-Identifier: Apache-2.0
// Plans as canonical JSON, out and in.
#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "graph/error.h"
#include "models/io/json.h"
#include "models/io/text.h"
#include "pruning/plan.h"

namespace pollard::pruning {
namespace {

using graph::Dependencies;
using nlohmann::json;  // sorted keys: one text for one plan

constexpr const char* kSchema = "pollard.plan/1";

json options_json(const PlanOptions& o) {
  json out{{"criterion", make_criterion(o.criterion)->name()},
           {"min_width", o.min_width},
           {"max_ratio", o.max_ratio},
           {"round_to", o.round_measured ? json("auto") : json(o.round_to)},
           {"exact", o.exact_only},
           {"allow_nonfinite", o.allow_nonfinite},
           {"seed", o.seed},
           {"ignore", o.ignore},
           {"only", o.only}};
  if (o.ratio) out["ratio"] = *o.ratio;
  if (o.max_parameters) out["max_parameters"] = *o.max_parameters;
  if (o.max_macs) out["max_macs"] = *o.max_macs;
  if (o.speedup) out["speedup"] = *o.speedup;
  if (o.max_activation_bytes) out["max_activation_bytes"] = *o.max_activation_bytes;
  if (o.max_stored_bytes) out["max_stored_bytes"] = *o.max_stored_bytes;
  if (o.max_seconds) out["max_seconds"] = *o.max_seconds;
  if (o.seconds_share) out["seconds_share"] = *o.seconds_share;
  if (o.heads) out["heads"] = *o.heads;
  if (o.head_dim) out["head_dim"] = *o.head_dim;
  out["scope"] = to_string(effective_scope(o));
  for (const auto& [pattern, ratio] : o.layers)
    out["layers"].push_back({{"pattern", pattern}, {"ratio", ratio}});
  return out;
}

json cost_json(const graph::Cost& cost) {
  return {{"parameters", cost.parameters},
          {"parameter_bytes", cost.parameter_bytes},
          {"macs", cost.macs},
          {"peak_activation_bytes", cost.peak_activation_bytes}};
}

json groups_json(const Plan& plan, const Dependencies& d) {
  json out = json::array();
  for (const GroupPlan& group : plan.groups) {
    const graph::Group& g = d.groups[static_cast<std::size_t>(group.group)];
    const graph::Axis& axis = d.axes[static_cast<std::size_t>(g.axis)];
    json entry{{"id", g.id},
               {"kind", axis.renormalised ? "renormalised" : "exact"},
               {"role", graph::to_string(axis.role)},
               {"size", axis.size},
               {"removed", group.removed},
               {"kept", axis.size - static_cast<std::int64_t>(group.removed.size())}};
    if (!group.kept_whole.empty()) entry["kept_whole"] = group.kept_whole;
    out.push_back(std::move(entry));
  }
  return out;
}

json parameters_json(const Plan& plan, const models::Model& model, const Dependencies& d) {
  json out = json::array();
  for (const graph::Input& input : model.program.inputs) {
    if (input.constant || input.kind == graph::Input::Kind::User) continue;
    const std::vector<graph::TermId>& dims = d[input.value].dims;
    json kept = json::object();
    for (std::size_t dim = 0; dim < dims.size(); ++dim)
      if (graph::touched(d, dims[dim], plan.removal))
        kept[std::to_string(dim)] = graph::kept_indices(d, dims[dim], plan.removal);
    if (!kept.empty())
      out.push_back(
          {{"name", input.source}, {"shape", model.program[input.value].sizes()}, {"kept", std::move(kept)}});
  }
  return out;
}

[[noreturn]] void refuse(const char* code, const std::string& message, const std::string& help) {
  throw UserError({.code = code,
                   .exit = Exit::BadFile,
                   .subject = "plan",
                   .message = message,
                   .where = {},
                   .why = {},
                   .help = help});
}

constexpr const char* kMakeAgain = "make the plan again from this model: pollard plan MODEL -o plan.json";

std::vector<std::int64_t> checked_indices(const json& list, const std::string& id, std::int64_t size) {
  if (!list.is_array()) refuse("E0381", "group " + id + " has no list \"removed\"", kMakeAgain);
  std::vector<std::int64_t> out;
  for (const json& item : list) {
    if (!item.is_number_integer())
      refuse("E0381", "group " + id + ": a removed index is not an integer", kMakeAgain);
    const auto index = item.get<std::int64_t>();
    if (index < 0 || index >= size)
      refuse("E0382",
             "group " + id + ": index " + std::to_string(index) + " out of range: " + std::to_string(size) +
                 " units",
             kMakeAgain);
    if (!out.empty() && index <= out.back())
      refuse("E0383", "group " + id + ": removed indices are not sorted and distinct", kMakeAgain);
    out.push_back(index);
  }
  if (static_cast<std::int64_t>(out.size()) >= size)
    refuse("E0384", "group " + id + ": no unit would be left", kMakeAgain);
  return out;
}

/// Tied groups and their constant followers must lose equally many units.
void follow_ties(Plan& plan, const Dependencies& d) {
  std::map<std::int32_t, std::size_t> count;
  for (const GroupPlan& group : plan.groups) {
    const graph::Group& g = d.groups[static_cast<std::size_t>(group.group)];
    const std::int32_t tie = d.axes[static_cast<std::size_t>(g.axis)].tie;
    if (tie < 0) continue;
    const auto [found, fresh] = count.emplace(tie, group.removed.size());
    if (!fresh && found->second != group.removed.size())
      refuse("E0382", "group " + g.id + " must lose as many units as the groups it is tied to", kMakeAgain);
  }
  for (std::size_t a = 0; a < d.axes.size(); ++a) {
    const graph::Axis& axis = d.axes[a];
    if (axis.tie < 0 || axis.stored || !count.contains(axis.tie)) continue;
    for (std::size_t i = 0; i < count[axis.tie]; ++i)
      plan.removal.removed[a].push_back(static_cast<std::int64_t>(i));
  }
}

void require_schema(const json& in) {
  const json schema = in.is_object() ? in.value("schema", json()) : json();
  if (schema == kSchema) return;
  refuse("E0381",
         schema.is_string()
             ? "is a " + models::io::in_quotes(schema.get<std::string>()) + ", not a " + kSchema
             : "not a " + std::string(kSchema) + " document",
         kMakeAgain);
}

void read_options(const json& text, PlanOptions& o) {
  const auto number = [&]<class T>(const char* key, std::optional<T>& slot) {
    if (text.contains(key) && text[key].is_number()) slot = text[key].get<T>();
  };
  number("ratio", o.ratio);
  number("max_parameters", o.max_parameters);
  number("max_macs", o.max_macs);
  number("speedup", o.speedup);
  number("max_activation_bytes", o.max_activation_bytes);
  number("max_stored_bytes", o.max_stored_bytes);
  number("heads", o.heads);
  number("head_dim", o.head_dim);
  if (text.contains("criterion") && text["criterion"].is_string()) o.criterion = text["criterion"];
  if (text.contains("scope") && text["scope"].is_string())
    o.scope = scope_from_string(text["scope"].get<std::string>());
  o.exact_only = text.value("exact", false);
  o.allow_nonfinite = text.value("allow_nonfinite", false);
  o.min_width = text.value("min_width", std::int64_t{1});
  o.max_ratio = text.value("max_ratio", 1.0);
  o.round_to = text.value("round_to", std::int64_t{1});
  o.seed = text.value("seed", std::uint64_t{0});
}

}  // namespace

std::string to_json(const PlanOptions& options) { return options_json(options).dump(); }

std::string to_json(const Plan& plan, const models::Model& model, const Dependencies& d) {
  const json out{{"schema", kSchema},
                 {"input", {{"sha256", model.sha256}, {"format", model.format}}},
                 {"options", options_json(plan.options)},
                 {"groups", groups_json(plan, d)},
                 {"parameters", parameters_json(plan, model, d)},
                 {"totals", {{"before", cost_json(plan.before)}, {"after", cost_json(plan.after)}}},
                 {"warnings", plan.warnings}};
  return out.dump();
}

Plan plan_from_json(std::string_view text, const models::Model& model, const Dependencies& d) {
  const json in = models::io::parse_json(text, "plan");
  require_schema(in);
  const std::string hash = in.contains("input") && in["input"].is_object() &&
                                   in["input"].contains("sha256") && in["input"]["sha256"].is_string()
                               ? in["input"]["sha256"].get<std::string>()
                               : "";
  if (hash != model.sha256)
    refuse("E0380",
           "was made for another file: sha256 " + hash.substr(0, 12) + " there, " +
               model.sha256.substr(0, 12) + " here",
           kMakeAgain);
  if (!in.contains("groups") || !in["groups"].is_array())
    refuse("E0381", "has no list \"groups\"", kMakeAgain);
  Plan plan{
      .options = {}, .removal = graph::Removal(d), .groups = {}, .before = {}, .after = {}, .warnings = {}};
  try {
    if (in.contains("options") && in["options"].is_object()) read_options(in["options"], plan.options);
  } catch (const json::exception& error) {
    refuse("E0381", std::string("an option has the wrong type: ") + error.what(), kMakeAgain);
  }
  std::map<std::string, const json*> by_id;
  for (const json& group : in["groups"]) {
    if (!group.is_object() || !group.contains("id") || !group["id"].is_string())
      refuse("E0381", "a group has no id", kMakeAgain);
    if (!by_id.emplace(group["id"].get<std::string>(), &group).second)
      refuse("E0383", "group " + group["id"].get<std::string>() + " stands twice", kMakeAgain);
  }
  if (by_id.size() > d.groups.size()) refuse("E0380", "has groups this model does not have", kMakeAgain);
  for (std::int32_t g = 0; g < static_cast<std::int32_t>(d.groups.size()); ++g) {
    const graph::Group& group = d.groups[static_cast<std::size_t>(g)];
    const auto found = by_id.find(group.id);
    if (found == by_id.end())
      refuse("E0380", "does not name group " + group.id + " of this model", kMakeAgain);
    const json removed = found->second->contains("removed") ? (*found->second)["removed"] : json();
    plan.groups.push_back(
        {.group = g,
         .removed = checked_indices(removed, group.id, d.axes[static_cast<std::size_t>(group.axis)].size),
         .kept_whole = {}});
    plan.removal.removed[static_cast<std::size_t>(group.axis)] = plan.groups.back().removed;
  }
  follow_ties(plan, d);
  const graph::CostModel cost(model.program, d);
  plan.before = cost.evaluate(graph::full_widths(d));
  plan.after = cost.evaluate(plan.removal.widths(d));
  return plan;
}

std::string plan_hash(std::string_view text) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out;
  for (unsigned char byte : digest) out += {kHex[byte >> 4], kHex[byte & 15]};
  return out;
}

}  // namespace pollard::pruning
