// SPDX-License-Identifier: Apache-2.0
#include "pruning/sample_stream.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "graph/error.h"
#include "models/io/cancel.h"
#include "models/io/stage.h"

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
}

void SampleStream::run_one(const kernels::Executor& executor, const kernels::Weights& weights,
                           const kernels::RunOptions& options, Batch batch, const Before& before,
                           const After& after) const {
  models::io::throw_if_cancelled();
  const auto part = [&](const at::Tensor& all) {
    return all.defined() ? all.slice(0, batch.first, batch.first + batch.count) : all;
  };
  batch.labels = part(calibration_.labels);
  batch.mask = part(calibration_.mask);
  std::vector<at::Tensor> inputs;
  for (const at::Tensor& input : calibration_.inputs) inputs.push_back(part(input));
  if (before) before(batch);
  const std::vector<at::Tensor> outputs = executor.run(weights, inputs, options);
  if (after) after(batch, outputs);
}

void SampleStream::run(const kernels::Weights& weights, const kernels::RunOptions& given,
                       const Before& before, const After& after) const {
  kernels::RunOptions options = given;
  if (calibration_.precision) options.compute_type = calibration_.precision;
  Batch batch;
  models::io::tell_stage({.name = "samples", .unit = "samples", .done = 0, .total = samples_});
  for (std::int64_t first = 0; first < samples_; first += batch_, ++batch.index) {
    batch.first = first;
    batch.count = std::min(batch_, samples_ - first);
    run_one(batch.count == batch_ ? *whole_ : *rest_, weights, options, batch, before, after);
    models::io::tell_stage(
        {.name = "samples", .unit = "samples", .done = first + batch.count, .total = samples_});
  }
}

}  // namespace pollard::pruning
