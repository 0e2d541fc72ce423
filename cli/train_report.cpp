// SPDX-License-Identifier: Apache-2.0
#include "cli/train_report.h"

#include <fmt/format.h>

#include <cmath>

#include "cli/plan_report.h"
#include "cli/prune_outcome.h"
#include "cli/ui/format.h"
#include "cli/ui/text.h"

namespace pollard::cli {
namespace {

std::string samples_text(const training::Dataset* data) {
  return data ? format_count(data->size()) : std::string("none");
}

double rate_of(const training::EpochReport& report) {
  return static_cast<double>(report.samples) / std::max(report.seconds, 1e-9);
}

Json to_json(const training::EpochReport& report) {
  Json validation = Json::object();
  for (const training::Metrics::Figure& figure : report.validation) validation[figure.name] = figure.value;
  return {{"epoch", report.epoch},     {"loss", report.loss},          {"rate", report.rate},
          {"validation", validation},  {"best", report.best},          {"seconds", report.seconds},
          {"samples", report.samples}, {"skipped_samples", report.bad}};
}

}  // namespace

bool is_share(const std::string& metric) {
  return metric == "top1" || metric == "top5" || metric == "f1" || metric == "group-gap";
}

std::string figure_text(const training::Metrics::Figure& figure) {
  return figure.name + (is_share(figure.name) ? fmt::format(" {:.2f} %", 100 * figure.value)
                                              : fmt::format(" {:.4f}", figure.value));
}

void TrainReport::begin(const models::Model& model, bool taught) {
  if (!communicator_.first()) return;
  const training::TrainingOptions& o = options_;
  std::int64_t parameters = 0;
  for (const graph::Input& input : model.program.inputs)
    if (input.kind == graph::Input::Kind::Parameter && input.tied_to.empty())
      parameters += model.program[input.value].numel();
  context_.report(fmt::format("data      {} samples to train on, {} to validate",
                              samples_text(data_.train.get()), samples_text(data_.validation.get())));
  context_.report(
      fmt::format("run       {} epochs, batch {}, {} parameters{}{}", o.epochs, o.batch,
                  format_count(parameters), taught ? ", taught by the dense parent" : "",
                  communicator_.size() > 1 ? fmt::format(", {} processes", communicator_.size()) : ""));
  for (const training::Dataset* part : {data_.train.get(), data_.validation.get()})
    if (part && part->left_out > 0)
      context_.warn(fmt::format("{} corrupt samples were left out", part->left_out));
}

void TrainReport::step(std::int64_t epoch, std::int64_t done, std::int64_t steps) {
  if (!communicator_.first()) return;
  // A bar can be neither copied nor moved; the conversion makes it in place.
  struct Bar {
    Context& context;
    std::int64_t epoch, steps;
    operator Progress() const { return context.progress(fmt::format("epoch {}", epoch + 1), steps, "steps"); }
  };
  if (!progress_) progress_.emplace(Bar{context_, epoch, steps});
  progress_->update(done);
  if (done == steps) progress_.reset();
}

void TrainReport::epoch(const training::EpochReport& report) {
  progress_.reset();
  std::vector<std::string> figures;
  for (const training::Metrics::Figure& figure : report.validation)
    if (figures.size() < 2 && figure.name != "top5") figures.push_back(figure_text(figure));
  const double left = report.seconds * static_cast<double>(report.epochs - report.epoch);
  context_.report(fmt::format("{:>3}/{:<3}  loss {:.4f}  val {}  lr {:.2g}  {}/s{}{}", report.epoch,
                              report.epochs, report.loss, figures.empty() ? "-" : join(figures, " "),
                              report.rate, format_short(rate_of(report)),
                              left > 0 ? "  left " + format_seconds(left) : "", report.best ? "  *" : ""));
  if (report.bad > 0) context_.note(fmt::format("{} corrupt samples skipped so far", report.bad));
  epochs_.push_back(report);
}

training::Observer TrainReport::observer() {
  training::Observer out;
  out.step = [this](std::int64_t epoch, std::int64_t done, std::int64_t steps) { step(epoch, done, steps); };
  out.epoch = [this](const training::EpochReport& report) { epoch(report); };
  out.note = [this](const std::string& text) { context_.note(text); };
  out.repaired = [this](const pruning::RepairReport& report) { context_.report(repair_text(report)); };
  out.pruned = [this](const pruning::Plan& plan, const models::Model&,
                      const graph::Dependencies& dependencies) {
    report_plan(plan, dependencies, context_);
    context_.print(change_table(plan));
  };
  return out;
}

void TrainReport::end(const std::string& out) {
  Json epochs = Json::array();
  for (const training::EpochReport& report : epochs_) epochs.push_back(to_json(report));
  if (context_.json())
    context_.print_json({{"output", out}, {"processes", communicator_.size()}, {"epochs", epochs}});
  context_.report("wrote     " + out);
  context_.next("pollard eval " + out + " DATA");
}

}  // namespace pollard::cli
