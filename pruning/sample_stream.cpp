// SPDX-License-Identifier: Apache-2.0
#include "pruning/sample_stream.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <span>

#include "graph/error.h"
#include "models/io/cancel.h"
#include "models/io/stage.h"
#include "pruning/stream/activation_store.h"
#include "pruning/stream/segments.h"

namespace pollard::pruning {
namespace {

/// The batch size the program was exported with.
std::int64_t own_batch(const graph::Program& program) {
  for (const graph::Input* input : program.user_inputs())
    if (!input->constant && !program[input->value].shape.empty()) return program[input->value].shape[0].hint;
  return 1;
}

}  // namespace

SampleStream::SampleStream(const models::Model& model, const graph::Dependencies& d,
                           const CalibrationSet& calibration, std::int64_t batch)
    : calibration_(calibration),
      batch_(std::min(batch, calibration.samples())),
      samples_(calibration.samples()) {
  try {
    whole_.emplace(with_batch(model.program, d, batch_));
    if (samples_ % batch_) rest_.emplace(with_batch(model.program, d, samples_ % batch_));
  } catch (const UserError& error) {
    if (error.parts().code != "E0391") throw;
    batch_ = own_batch(model.program);
    samples_ = samples_ / batch_ * batch_;
    if (samples_ == 0) throw;
    whole_.emplace(model.program);
    rest_.reset();
  }
  work_ = SharedWork(calibration.job, (samples_ + batch_ - 1) / batch_);
}

at::Tensor SampleStream::part_of(const at::Tensor& all, const Batch& batch) const {
  return all.defined() ? all.slice(0, batch.first, batch.first + batch.count) : all;
}

std::vector<SampleStream::Batch> SampleStream::batches() const {
  std::vector<Batch> out;
  for (std::int64_t first = 0; first < samples_; first += batch_) {
    Batch batch{.index = std::ssize(out), .first = first, .count = std::min(batch_, samples_ - first)};
    batch.labels = part_of(calibration_.labels, batch);
    batch.mask = part_of(calibration_.mask, batch);
    out.push_back(std::move(batch));
  }
  return out;
}

kernels::RunOptions SampleStream::with_precision(kernels::RunOptions options) const {
  if (calibration_.precision) options.compute_type = calibration_.precision;
  return options;
}

void SampleStream::run(const kernels::Weights& weights, const kernels::RunOptions& given,
                       const Before& before, const After& after) const {
  const kernels::RunOptions options = with_precision(given);
  const std::int64_t first = work_.begin() * batch_, total = std::min(samples_, work_.end() * batch_) - first;
  const auto tell = [&](std::int64_t done) {
    models::io::tell_stage({.name = "samples", .unit = "samples", .done = done, .total = total});
  };
  tell(0);
  const std::vector<Batch> all = batches();
  for (const Batch& batch : std::span(all).subspan(static_cast<std::size_t>(work_.begin()),
                                                   static_cast<std::size_t>(work_.end() - work_.begin()))) {
    models::io::throw_if_cancelled();
    std::vector<at::Tensor> inputs;
    for (const at::Tensor& input : calibration_.inputs) inputs.push_back(part_of(input, batch));
    if (before) before(batch);
    const std::vector<at::Tensor> outputs =
        (batch.count == batch_ ? *whole_ : *rest_).run(weights, inputs, options);
    if (after) after(batch, outputs);
    tell(batch.first + batch.count - first);
  }
}

namespace {

/// Places of a program's tensor inputs among the caller's.
std::map<graph::ValueId, std::size_t> input_places(const graph::Program& program) {
  std::map<graph::ValueId, std::size_t> out;
  for (const graph::Input* input : program.user_inputs())
    if (!input->constant && program[input->value].kind == graph::Value::Kind::Tensor)
      out.emplace(input->value, out.size());
  return out;
}

bool is_narrow(const graph::Program& program) {
  return std::ranges::any_of(program.inputs, [&](const graph::Input& input) {
    const graph::DType type = program[input.value].dtype;
    return input.kind != graph::Input::Kind::User && graph::is_floating(type) && graph::dtype_size(type) < 4;
  });
}

kernels::Weights load_for(const graph::Program& part, StoredWeights& weights) {
  kernels::Weights out;
  for (const graph::Input& input : part.inputs)
    if (input.kind != graph::Input::Kind::User) out[input.source] = weights.load(input);
  return out;
}

std::vector<graph::ValueId> outputs_of(const graph::Program& program) {
  std::vector<graph::ValueId> out;
  for (const graph::Output& output : program.outputs)
    if (output.kind == graph::Output::Kind::User)
      for (const graph::ValueId id : graph::values_in(output.value)) out.push_back(id);
  return out;
}

}  // namespace

void SampleStream::run_by_parts(StoredWeights& weights, const kernels::RunOptions& given,
                                const Before& before, const After& after, const PartDone& part_done) const {
  POLLARD_CHECK(!work_.split(), "a run by parts is one process's");
  kernels::RunOptions options = with_precision(given);
  const graph::Program& program = whole_->program();
  if (!options.compute_type && is_narrow(program)) options.compute_type = at::kFloat;
  const Segments parts(program, weights.memory_bytes() / 4);
  ActivationStore store(weights.spill_folder(), weights.memory_bytes() / 4);
  const std::map<graph::ValueId, std::size_t> places = input_places(program);
  const std::vector<Batch> all = batches();
  const auto value = [&](graph::ValueId id, const Batch& batch) {
    const auto place = places.find(id);
    return place == places.end() ? store.get({batch.index, id})
                                 : part_of(calibration_.inputs.at(place->second), batch);
  };
  for (std::size_t p = 0; p < parts.size(); ++p) {
    const Segment part = parts.segment(program, p);
    const kernels::Executor executor(part.program);
    std::optional<kernels::Executor> rest;
    if (rest_) rest.emplace(parts.segment(rest_->program(), p).program);
    const kernels::Weights loaded = load_for(part.program, weights);
    for (const Batch& batch : all) {
      models::io::throw_if_cancelled();
      std::vector<at::Tensor> inputs;
      for (const graph::ValueId id : part.in) inputs.push_back(value(id, batch));
      if (before) before(batch);
      const auto results = (batch.count == batch_ ? executor : *rest).run(loaded, inputs, options);
      for (std::size_t i = 0; i < results.size(); ++i)
        if (after || p + 1 < parts.size()) store.put({batch.index, part.out[i]}, results[i]);
      for (const graph::ValueId id : part.in)
        if (parts.is_last_reader(id, p)) store.drop({batch.index, id});
    }
    if (part_done) part_done(part.end);
  }
  if (!after) return;
  for (const Batch& batch : all) {
    std::vector<at::Tensor> outputs;
    for (const graph::ValueId id : outputs_of(program)) outputs.push_back(value(id, batch));
    after(batch, outputs);
  }
}

}  // namespace pollard::pruning
