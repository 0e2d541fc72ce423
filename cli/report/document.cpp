// SPDX-License-Identifier: Apache-2.0
#include <filesystem>

#include "cli/command_line.h"
#include "cli/model_report.h"
#include "cli/parse_errors.h"
#include "cli/plan_options.h"
#include "cli/plan_report.h"
#include "cli/report/page.h"
#include "cli/report/report.h"
#include "cli/system_info.h"
#include "cli/version.h"
#include "graph/cost.h"
#include "models/io/atomic_file.h"
#include "pruning/latency_table.h"

namespace pollard::cli::report {
namespace {

bool is_page(const std::string& path) { return std::filesystem::path(path).extension() == ".html"; }

Json cost_json(const graph::Cost& cost) {
  return {{"parameters", cost.parameters},
          {"macs", cost.macs},
          {"weight_bytes", cost.stored_bytes},
          {"activation_bytes", cost.peak_activation_bytes}};
}

Json model_part(const AnalysedModel& m) {
  return {{"file", std::filesystem::path(m.path).filename().string()},
          {"format", m.model.format},
          {"family", m.model.family},
          {"sha256", m.model.sha256},
          {"inputs", input_shapes(m.model.program)},
          {"ops", m.model.program.ops.size()}};
}

Json plan_part(const Findings& f) {
  if (f.plan == nullptr) return {};
  std::int64_t units = 0, removed = 0;
  for (const pruning::GroupPlan& group : f.plan->groups) {
    const auto& g = f.model.dependencies.groups[static_cast<std::size_t>(group.group)];
    units += f.model.dependencies.axes[static_cast<std::size_t>(g.axis)].size;
    removed += static_cast<std::int64_t>(group.removed.size());
  }
  return {{"target", target_text(*f.plan)},
          {"method", method_text(f.plan->options)},
          {"units", units},
          {"removed", removed},
          {"steps", f.steps},
          {"sha256", f.outcome ? Json(pruning::plan_hash(f.outcome->plan_json)) : Json()},
          {"notes", f.plan->notes},
          {"warnings", f.plan->warnings}};
}

Json files_part(const Findings& f) {
  Json out{{"input_bytes", file_size(f.model.path)}, {"output", Json()}, {"output_bytes", Json()}};
  if (f.output.empty()) return out;
  out["output"] = std::filesystem::path(f.output).filename().string();
  out["output_bytes"] = file_size(f.output);
  return out;
}

Json sensitivity_part(const Findings& f) {
  if (f.sensitivity == nullptr) return {};
  Json out = Json::array();
  for (std::size_t c = 0; c < f.sensitivity->classes.size(); ++c) {
    const pruning::Class& one = f.sensitivity->classes[c];
    if (f.sensitivity->points[c].empty()) continue;
    Json points = Json::array();
    for (const pruning::SensitivityPoint& p : f.sensitivity->points[c])
      points.push_back({{"removed", p.removed}, {"sliced", p.sliced}, {"repaired", p.repaired}});
    out.push_back({{"group", f.model.dependencies.groups[static_cast<std::size_t>(one.groups.front())].id},
                   {"units", one.size},
                   {"points", points}});
  }
  return out;
}

Json trade_off_part(const std::vector<TradeOffPoint>& points) {
  if (points.empty()) return {};
  Json out = to_json(points);
  for (std::size_t i = 0; i < points.size(); ++i) {
    out[i]["parameters_before"] = points[i].before.parameters;
    out[i]["macs_before"] = points[i].before.macs;
  }
  return out;
}

Json options_part(const CommandLine& line) {
  Json out = Json::array();
  for (const OptionValue& o : line.effective_options())
    out.push_back({{"name", o.name}, {"value", o.value}, {"source", o.source}});
  return out;
}

Json versions_part() {
  const SystemInfo system = system_info();
  return {{"pollard", version()},
          {"LibTorch", system.libtorch},
          {"compiler", system.compiler},
          {"processor", system.cpu},
          {"vector kernels", system.cpu_capability},
          {"threads", std::to_string(system.torch_threads)}};
}

}  // namespace

Json document(const Findings& f, const CommandLine& line) {
  const AnalysedModel& m = f.model;
  const graph::Cost dense =
      graph::CostModel(m.model.program, m.dependencies).evaluate(graph::full_widths(m.dependencies));
  Json out{{"schema", "pollard.report/1"}, {"tool", tool_name()}, {"command", line.selected()->get_name()}};
  out["model"] = model_part(m);
  out["cost"] = {{"before", cost_json(dense)},
                 {"after", f.plan         ? cost_json(f.plan->after)
                           : f.cost_after ? cost_json(*f.cost_after)
                                          : Json()}};
  out["files"] = files_part(f);
  out["plan"] = plan_part(f);
  out["verify"] = f.outcome && f.outcome->verification ? to_json(*f.outcome->verification) : Json();
  out["repair"] = f.outcome && f.outcome->repair ? Json(repair_text(*f.outcome->repair)) : Json();
  out["layers"] = layers_part(m, f.plan);
  out["groups"] = groups_part(m, f.plan);
  out["frozen"] = frozen_json(m.model.program, m.dependencies);
  out["trade_off"] = trade_off_part(f.trade_off);
  out["sensitivity"] = sensitivity_part(f);
  out["criterion"] = f.plan ? criterion_part(m, f.plan->options) : Json();
  out["latency"] = latency_part(m.model, f.outcome ? &f.outcome->pruned : f.after, f.timed_runs);
  out["network"] = network_part(m, f.plan);
  out["options"] = options_part(line);
  out["versions"] = versions_part();
  return out;
}

void check_report_path(const std::string& path, bool force) {
  const auto extension = std::filesystem::path(path).extension();
  if (extension != ".html" && extension != ".json")
    throw usage_error("E0203", "--report", "\"" + path + "\" ends neither in .html nor in .json",
                      "for example --report report.html");
  models::io::check_output_path(path, {}, force);
}

void write_report(const Json& document, const std::string& path, bool force) {
  write_text_file(path, is_page(path) ? page(document) : dump(document) + "\n", force);
}

}  // namespace pollard::cli::report
